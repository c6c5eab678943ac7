"""Brakes: slots are free, and still nothing starts faster than the pace, than memory allows, past half of the system."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from headgate.bench.counting import CountingBackend
from headgate.core.policy import OnLimit, Policy, PressurePolicy
from headgate.core.run import Run
from headgate.core.submission import AskedLimits
from headgate.flow import brakes, fleet, overview, pause, pressure, sweep
from headgate.flow.ledger import Ledger
from headgate.flow.pause import Pause
from headgate.handlers.interface import Failed
from headgate.store.documents import where
from headgate.store.sqlite import SqliteBackend
from tests.support.world import Clock, World

TENANTS = {"acme": "enterprise", "beta": "enterprise"}


def a_world(tmp_path: Path, **policy: object) -> World:
    return World(tmp_path, replace(Policy(), **policy), tenants=TENANTS)  # type: ignore[arg-type]


def in_flight(world: World, tenant: str = "acme") -> int:
    return len(world.tenant(tenant).holders)


def starts_in(world: World, seconds: float, step: float = 0.05) -> list[float]:
    """When runs become pending while the clock goes on and the alarm rings, in seconds from now."""
    found: list[float] = []
    begin, before = world.clock.ms, in_flight(world)
    while (world.clock.ms - begin) / 1000 < seconds:
        sweep.start_due(world.deps, world.dispatcher)
        found += [(world.clock.ms - begin) / 1000] * (in_flight(world) - before)
        before = in_flight(world)
        world.clock.forward(step)
    return found


def crowded(world: World, count: int = 12, tenant: str = "acme") -> None:
    """A paused tenant with a line."""
    pause.pause(world.deps, world.dispatcher, tenant, Pause(mode="hold"), world.why())
    for _ in range(count):
        world.accepted(tenant=tenant, on_limit=OnLimit.QUEUE)


def queued(world: World) -> list[Run]:
    return world.deps.store.query(Run, where(Run, ("state", "==", "queued"), order=("created_at",)))


def test_a_resume_ramps(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    crowded(world)
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    assert in_flight(world) == 1
    found = starts_in(world, 5)
    assert len(found) in (9, 10)
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(found))


def test_who_ramps_is_told_when_the_pace_lets_it_start(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    crowded(world)
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    world.clock.forward(2)  # what was kept of the time before
    found, begin = told(world), starts_in(world, 8)
    assert len(found) > 6
    for position, seconds in found.items():
        assert abs(begin[position - 1] - seconds) <= 0.6


def test_without_a_ramp_a_resume_lets_all_go_at_once(tmp_path: Path) -> None:
    """The negative control: what the ramp is for."""
    world = a_world(tmp_path, pressure=PressurePolicy(ramp_seconds=0))
    crowded(world)
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    assert in_flight(world) == 12


def test_one_tenant_that_ramps_holds_back_nobody_else(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    crowded(world)
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    runs = [world.accepted(tenant="beta") for _ in range(5)]
    assert {world.state(run) for run in runs} == {"pending"}


def test_nobody_waits_so_nothing_ramps(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    pause.pause(world.deps, world.dispatcher, "acme", Pause(), world.why())
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    assert [world.state(world.accepted()) for _ in range(3)] == ["pending"] * 3


def test_who_is_new_does_not_start_ahead_of_the_pace(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    crowded(world, 1)
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    late = world.accepted(on_limit=OnLimit.QUEUE)
    assert world.state(late) == "queued"
    assert world.run(late).receipts[0]["binding"] == "PRESSURE_SLOW"
    assert world.refused(on_limit=OnLimit.REJECT) == "OVERLOADED"
    world.clock.forward(0.5)
    sweep.start_due(world.deps, world.dispatcher)
    assert world.state(late) == "pending"


@pytest.mark.parametrize("resume", ["kind", "mode"])
def test_wide_scopes_ramp_too(tmp_path: Path, resume: str) -> None:
    world = a_world(tmp_path)
    if resume == "kind":
        fleet.close_kind(world.deps, world.dispatcher, "command", "hold", world.why())
        for _ in range(8):
            world.accepted(on_limit=OnLimit.QUEUE)
        fleet.open_kind(world.deps, world.dispatcher, "command", world.why())
    else:
        for _ in range(8):
            world.accepted()
        fleet.set_mode(world.deps, world.dispatcher, "maintenance", world.why())
        assert in_flight(world) == 0
        fleet.set_mode(world.deps, world.dispatcher, "normal", world.why())
    assert in_flight(world) == 1
    assert len(starts_in(world, 2.0)) in (3, 4)


def slowed(world: World) -> None:
    """More pending runs than the threshold, seen by a sweep."""
    for _ in range(4):
        world.accepted(tenant="beta")
    sweep.sweep(world.deps, world.dispatcher)


def test_a_deep_queue_slows_starts_and_recovery_ramps(tmp_path: Path) -> None:
    world = a_world(tmp_path, pressure=PressurePolicy(queue_depth=3))
    slowed(world)
    for _ in range(6):
        world.accepted(on_limit=OnLimit.QUEUE)
    assert in_flight(world) == 1
    assert len(starts_in(world, 1.0)) in (1, 2)
    for run in list(world.deps.store.every(Run, ("state", "==", "pending"))):
        world.claim(run)
    sweep.sweep(world.deps, world.dispatcher)
    assert pressure.look(world.deps).state == "ok"
    assert world.tenant().waiting > 0  # a slow spell ends in a ramp, not in a flood


def told(world: World) -> dict[int, float]:
    """p50 by place in line."""
    found = [line for line in (overview.line_of(world.deps, run) for run in queued(world)) if line is not None]
    return {line.position or 0: line.estimated_wait.p50 for line in found if line.estimated_wait is not None}


def test_who_waits_while_starts_are_slow_is_told_so(tmp_path: Path) -> None:
    world = a_world(tmp_path, pressure=PressurePolicy(queue_depth=3))
    slowed(world)
    for _ in range(6):
        world.accepted(on_limit=OnLimit.QUEUE)
    world.clock.forward(2)
    found = told(world)
    assert len(found) > 3
    assert all(seconds == position / 2 for position, seconds in found.items())


def test_a_users_ramp_is_told_to_that_user_alone(tmp_path: Path) -> None:
    world = a_world(tmp_path, user=None)
    pause.pause(world.deps, world.dispatcher, "acme", Pause(scope="user:ada", mode="hold"), world.why())
    for _ in range(5):
        world.accepted(user="ada", on_limit=OnLimit.QUEUE)
    pause.resume(world.deps, world.dispatcher, "acme", "user:ada", world.why())
    world.clock.forward(2)
    assert list(told(world).values()) == [0.5, 1.0, 1.5, 2.0]
    assert str(world.accepted(user="bob").state) == "pending"


def test_a_rule_in_dry_run_slows_nobody(tmp_path: Path) -> None:
    world = a_world(tmp_path, pressure=PressurePolicy(queue_depth=3, dry_run=frozenset({"queueDepth"})))
    slowed(world)
    assert [world.state(world.accepted()) for _ in range(6)] == ["pending"] * 6


def test_a_full_fleet_sheds_what_is_below_normal(tmp_path: Path) -> None:
    world = a_world(tmp_path, system=10)
    for _ in range(9):
        world.accepted()
    sweep.sweep(world.deps, world.dispatcher)
    assert world.refused(priority=4) == "OVERLOADED"
    assert world.refused(priority=4, on_limit=OnLimit.QUEUE) == "OVERLOADED"
    assert world.state(world.accepted(priority=5)) == "pending"


def test_only_the_systems_own_failures_count(tmp_path: Path) -> None:
    world = a_world(tmp_path, pressure=PressurePolicy(error_minimum=3))
    for _ in range(5):
        world.finish(world.accepted(), Failed(code="EXIT_NONZERO", message="x"))
    sweep.sweep(world.deps, world.dispatcher)
    assert pressure.look(world.deps).state == "ok"
    for _ in range(2):
        world.finish(world.accepted(), Failed(code="WORKER_LOST", message="x"))
    assert pressure.look(world.deps).state == "slow"
    world.clock.forward(3_601)
    assert pressure.look(world.deps).state == "ok"  # of an hour ago


# --- memory


class Host:
    def __init__(self, free: int | None) -> None:
        self.free = free

    def free_memory(self) -> int | None:
        return self.free


def test_nothing_starts_on_a_host_without_the_memory(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    host = Host(100)
    object.__setattr__(world.deps, "host", host)
    run = world.accepted(on_limit=OnLimit.QUEUE)
    assert world.state(run) == "queued"
    assert world.run(run).receipts[0]["binding"] == "HOST_MEMORY"
    host.free = world.run(run).limits.memory_bytes
    sweep.start_due(world.deps, world.dispatcher)
    assert world.state(run) == "pending"


# --- half of the system


def half_case(tmp_path: Path) -> World:
    """A system of 6 whose repo o/big may hold all of it, holds 3 of it, and waits with more in front of the others."""
    world = a_world(tmp_path, system=6, repo=6, user=None)
    held = [world.accepted(repo="o/big") for _ in range(6)]
    for _ in range(4):
        world.accepted(repo="o/big", priority=9, on_limit=OnLimit.QUEUE)
    world.accepted(repo="o/small", on_limit=OnLimit.QUEUE)
    world.accepted(tenant="beta", on_limit=OnLimit.QUEUE)
    for run in held[:3]:
        world.finish(run)
    return world


def repos_in_flight(world: World) -> list[str]:
    states = ("pending", "running")
    return sorted(str(run.repo) for s in states for run in world.deps.store.every(Run, ("state", "==", s)))


def test_no_repo_takes_more_than_half_while_others_could_start(tmp_path: Path) -> None:
    world = half_case(tmp_path)
    flying = repos_in_flight(world)
    assert flying.count("o/small") == 1
    assert flying.count("None") == 1
    assert len(flying) == 6  # and when nobody else waits, nothing stands idle


def test_without_the_rule_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(brakes, "half_holder", lambda tenant, cap: None)
    assert repos_in_flight(half_case(tmp_path)).count("o/small") == 0


def test_half_is_counted_with_the_slot_to_come(tmp_path: Path) -> None:
    world = a_world(tmp_path, repo=6)
    for _ in range(3):
        world.accepted(repo="o/big")
    tenant = world.tenant()
    assert brakes.half_holder(tenant, 7) == "repo:o/big"
    assert brakes.half_holder(tenant, 8) is None
    assert brakes.half_holder(tenant, None) is None


def test_a_flood_of_resumes_stays_under_the_pace_in_every_second(tmp_path: Path) -> None:
    """H14: many tenants resumed by one opening of the system, each with a line."""
    tenants = {f"t{n}": "enterprise" for n in range(8)}
    world = World(tmp_path, Policy(), tenants=tenants)
    fleet.set_cap(world.deps, world.dispatcher, "system", 200, world.why())
    for tenant in tenants:
        for _ in range(10):
            world.accepted(tenant=tenant)
    fleet.set_mode(world.deps, world.dispatcher, "maintenance", world.why())
    fleet.set_mode(world.deps, world.dispatcher, "normal", world.why())
    published: list[tuple[int, int]] = []
    begin = world.clock.ms
    for _ in range(9 * 20):
        before = len(world.delivery.messages)
        sweep.start_due(world.deps, world.dispatcher)
        published.append((world.clock.ms - begin, len(world.delivery.messages) - before))
        world.clock.forward(0.05)
    windows = [sum(n for when, n in published if at <= when < at + 1000) for at, _ in published]
    assert max(windows) <= 2
    assert sum(n for _, n in published) >= 15


def beside(tmp_path: Path) -> World:
    """Ada's slots are full; o/big, which has half of the system, waits in front of o/small. One of ada's slots comes back."""
    world = a_world(tmp_path, system=4, repo=4, user=2)
    big = [world.accepted(repo="o/big", user="ada"), world.accepted(repo="o/big", user="ada")]
    world.accepted(repo="o/big")
    world.accepted(repo="o/big", user="ada", priority=9, on_limit=OnLimit.QUEUE)
    world.accepted(repo="o/small", user="ada", on_limit=OnLimit.QUEUE)
    world.finish(big[0])
    return world


def test_who_sleeps_beside_the_repository_that_has_half_is_woken(tmp_path: Path) -> None:
    assert repos_in_flight(beside(tmp_path)).count("o/small") == 1


def test_without_that_it_sleeps_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: the rule is passed although somebody else could start."""
    monkeypatch.setattr(Ledger, "wake_beside", lambda self, lane, shunned: False)
    assert repos_in_flight(beside(tmp_path)) == ["o/big", "o/big", "o/big"]


def test_a_run_that_is_too_big_holds_back_only_its_own_tenant(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    object.__setattr__(world.deps, "host", Host(64 * 1024 * 1024))
    big = world.accepted(on_limit=OnLimit.QUEUE)
    small = AskedLimits(memory_bytes=1024 * 1024)
    others = [world.accepted(tenant="beta", limits=small, on_limit=OnLimit.QUEUE) for _ in range(3)]
    assert world.state(big) == "queued"
    assert [world.state(run) for run in others] == ["pending"] * 3


def test_half_of_the_system_holds_with_many_lanes_in_front(tmp_path: Path) -> None:
    world = a_world(tmp_path, system=6, repo=6, user=None)
    held = [world.accepted(repo="o/big") for _ in range(6)]
    for number in range(60):
        world.accepted(repo="o/big", user=f"u{number}", priority=9, on_limit=OnLimit.QUEUE)
    world.accepted(repo="o/small", on_limit=OnLimit.QUEUE)
    for run in held[:4]:
        world.finish(run)
    assert repos_in_flight(world).count("o/small") == 1


def test_resuming_one_user_paces_that_user_only(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    pause.pause(world.deps, world.dispatcher, "acme", Pause(scope="user:ada", mode="hold"), world.why())
    ada = [world.accepted(user="ada", on_limit=OnLimit.QUEUE) for _ in range(3)]
    pause.resume(world.deps, world.dispatcher, "acme", "user:ada", world.why())
    assert [world.state(run) for run in ada] == ["pending", "queued", "queued"]
    bob = [world.accepted(user="bob") for _ in range(3)]
    assert [world.state(run) for run in bob] == ["pending"] * 3
    assert len(starts_in(world, 1.2)) == 2  # ada's others, half a second apart


def test_pausing_and_resuming_again_does_not_get_round_the_ramp(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    crowded(world)
    for _ in range(10):
        pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
        for run in list(world.deps.store.every(Run, ("state", "==", "pending"))):
            world.claim(run)
        pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="hold"), world.why())
    assert in_flight(world) == 1


def test_many_tenants_that_wait_for_their_pace_are_read_once_a_pass(tmp_path: Path) -> None:
    tenants = {f"t{number:03}": "enterprise" for number in range(60)}
    counted: list[CountingBackend] = []

    def counting(clock: Clock) -> CountingBackend:
        counted.append(CountingBackend(SqliteBackend(":memory:", "off", clock)))
        return counted[0]

    world = World(tmp_path, replace(Policy(), system=200), tenants={**tenants, "free": "enterprise"}, backend=counting)
    for tenant in tenants:
        crowded(world, 3, tenant)
        pause.resume(world.deps, world.dispatcher, tenant, "tenant", world.why())
    run = world.accepted(tenant="free")
    counted[0].reset()
    world.finish(run)
    assert counted[0].reads < 6 * len(tenants)
