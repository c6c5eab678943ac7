"""Estimates, places above the ladder's bound, why, and the fairness report, over the real flows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headgate.bench.counting import CountingBackend
from headgate.core import tenant as tenants
from headgate.core.line import order
from headgate.core.policy import LineBounds, OnLimit, Policy
from headgate.core.run import Run
from headgate.flow import overview, pause, places
from headgate.flow.fairness_report import fairness_report
from headgate.flow.pause import Pause
from headgate.flow.submit import Refused
from headgate.flow.why import why
from headgate.store.documents import where
from headgate.store.sqlite import SqliteBackend
from tests.support.world import Clock, World

QUEUE = OnLimit.QUEUE


def history(world: World, tenant: str, count: int, seconds: float, **asked: object) -> None:
    """So many finished runs that took so long."""
    for _ in range(count):
        run = world.accepted(tenant, **asked)
        world.clock.forward(seconds)
        world.finish(run)


def wait_of(world: World, run: Run) -> tuple[float, float] | None:
    line = overview.line_of(world.deps, world.run(run))
    assert line is not None
    return None if line.estimated_wait is None else (line.estimated_wait.p50, line.estimated_wait.p90)


def test_an_estimate_is_made_of_real_durations(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "free"})
    history(world, "acme", 10, 40.0)
    world.clock.forward(31)  # what was known of the kind is read again
    world.accepted()
    first, second = world.accepted(on_limit=QUEUE), world.accepted(on_limit=QUEUE)
    world.clock.forward(15)

    assert (wait_of(world, first), wait_of(world, second)) == (
        (25.0, 38.0),
        (65.0, 98.0),
    )
    assert world.run(second).forecast is not None


def test_a_lifted_cap_shortens_it_and_a_pause_takes_it_away(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "pro"})
    for number in range(5):
        world.accepted(repo=f"o/r{number}")
    runs = [world.accepted(on_limit=QUEUE, repo=f"o/q{number}") for number in range(6)]
    before = wait_of(world, runs[-1])
    assert before is not None
    world.clock.forward(2)
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="hold"), world.why())
    assert wait_of(world, runs[-1]) is None


def test_nobody_is_told_of_slots_who_waits_for_a_moment(tmp_path: Path) -> None:
    world = World(tmp_path)
    delayed = world.accepted(not_before=world.clock.ms + 60_000)
    assert (wait_of(world, delayed), world.run(delayed).forecast) == (None, None)


# --- places


def counted_world(tmp_path: Path, waiting: int, **deps: object) -> tuple[World, CountingBackend]:
    counting: list[CountingBackend] = []

    def backend(clock: Clock) -> CountingBackend:
        counting.append(CountingBackend(SqliteBackend(":memory:", "off", clock)))
        return counting[0]

    policy = replace(Policy(), line=LineBounds(total=5_000, per_tenant=5_000, per_user=5_000))
    world = World(tmp_path, policy=policy, tenants={"acme": "free"}, backend=backend)
    world.deps = replace(world.deps, **deps)  # type: ignore[arg-type]
    world.accepted()
    for number in range(waiting):
        world.clock.forward(0.5)
        world.accepted(on_limit=QUEUE, priority=number % 3, repo=f"o/r{number % 3}")
    return world, counting[0]


def in_line(world: World) -> tuple[Run, ...]:
    return order(world.deps.store.query(Run, where(Run, ("tenant", "==", "acme"), ("state", "==", "queued"))))


def test_above_its_bound_a_place_is_read_off_a_ladder(tmp_path: Path) -> None:
    world, _ = counted_world(tmp_path, 80, counted_places=30)
    line, built = in_line(world), world.clock.ms

    found = {n: overview.line_of(world.deps, line[n]) for n in (0, 20, 29, 50, 65, 79)}

    for number, view in found.items():
        assert view is not None
        assert view.position is not None
        assert abs(view.position - (number + 1)) <= (0 if number < 20 else 12)
        assert view.as_of == (None if view.position <= 30 else built)
        assert view.length == 80
        higher = sum(ahead.priority > line[number].priority for ahead in line[:number])
        assert abs(view.ahead_by_priority - higher) <= (0 if number < 20 else 12)


def test_a_ladder_is_built_at_most_once_a_minute(tmp_path: Path) -> None:
    world, counting = counted_world(tmp_path, 80, counted_places=30)
    last, built = in_line(world)[-1], world.clock.ms
    overview.line_of(world.deps, last)
    counting.reset()
    for _ in range(5):
        world.clock.forward(10)
        view = overview.line_of(world.deps, last)
        assert view is not None
        assert view.as_of == built
    assert counting.reads < 5 * places.RUNGS  # the ladder alone would be more
    world.clock.forward(11)
    view = overview.line_of(world.deps, last)
    assert view is not None
    assert view.as_of == world.clock.ms


def test_where_counting_is_cheap_places_are_exact(tmp_path: Path) -> None:
    world, _ = counted_world(tmp_path, 60)
    for number, run in enumerate(in_line(world)):
        view = overview.line_of(world.deps, run)
        assert view is not None
        assert (view.position, view.as_of) == (number + 1, None)


# --- why


def test_why_tells_when_the_first_slot_is_expected(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "pro"})
    history(world, "acme", 10, 40.0)
    world.clock.forward(31)
    first = world.accepted(repo="o/n", user="ada")
    world.clock.forward(10)
    second = world.accepted(repo="o/n", user="bob")
    queued = world.accepted(repo="o/n", user="cyd")

    found = why(world.deps, world.caller(), "acme", queued.id)

    assert found.binding == "repo:acme/o/n"
    assert [(h.run_id, h.user) for h in found.holders] == [(first.id, "ada"), (second.id, "bob")]
    assert [h.expected_end - world.clock.ms for h in found.holders] == [30_000, 40_000]
    assert (found.expected_release, found.others) == (found.holders[0].expected_end, 0)


def test_each_holder_of_a_wide_scope_ends_as_runs_of_its_own_kind_do(tmp_path: Path) -> None:
    world = World(tmp_path, replace(Policy(), system=1), tenants={"acme": "enterprise", "bolt": "enterprise"})
    history(world, "bolt", 10, 200.0, kind="git")
    history(world, "acme", 10, 2.0, kind="command")
    world.clock.forward(31)
    holder = world.accepted("bolt", kind="git")
    queued = world.accepted("acme", kind="command", on_limit=QUEUE)

    found = why(world.deps, world.caller(), "acme", queued.id)

    assert (found.binding, found.holders, found.others) == ("system", [], 1)  # it is not acme's to see
    since = world.run(holder).holding_since
    assert since is not None
    assert found.expected_release == since + 200_000


def test_without_a_full_scope_nobody_is_in_the_way(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "enterprise"})
    world.accepted()
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="hold"), world.why())
    line = overview.line_of(world.deps, world.accepted(on_limit=QUEUE))
    assert line is not None
    assert (line.binding, line.holders) == (None, ())


def test_who_goes_first_by_fair_share_is_said(tmp_path: Path) -> None:
    policy = replace(Policy(), system=2)
    world = World(tmp_path, policy=policy, tenants={"acme": "pro", "bolt": "pro"})
    history(world, "acme", 3, 100.0)
    held = [world.accepted("acme") for _ in range(2)]
    behind = world.accepted("acme", on_limit=QUEUE)
    ahead = world.accepted("bolt", on_limit=QUEUE)
    world.clock.forward(6)

    of_acme = overview.line_of(world.deps, world.run(behind))
    of_bolt = overview.line_of(world.deps, world.run(ahead))

    assert of_acme is not None
    assert of_bolt is not None
    assert of_acme.waiting_for == ("SCOPE_FULL:system", "BEHIND_FAIR_SHARE")
    assert of_bolt.waiting_for == ("SCOPE_FULL:system",)
    world.finish(held[0])
    assert (world.state(ahead), world.state(behind)) == ("pending", "queued")  # the reason was the truth


def test_a_closed_scope_is_told_when_it_opens(tmp_path: Path) -> None:
    world = World(tmp_path)
    until = world.clock.ms + 1_000_000
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="reject", until=until), world.why())
    answers = [world.submit() for _ in range(8)]
    told = [answer.refusal.retry_after for answer in answers if isinstance(answer, Refused)]
    assert len(told) == 8
    assert all(seconds is not None and 800 <= seconds <= 1200 for seconds in told)
    assert len(set(told)) > 3


# --- fairness


def busy(world: World, tenants: dict[str, int], rounds: int) -> None:
    """Lines that never end: whatever starts takes ten seconds; every round all that run end."""
    for tenant, count in tenants.items():
        for _ in range(count):
            world.submit(tenant, on_limit=QUEUE)
    seen = 0
    for _ in range(rounds):
        world.clock.forward(10)
        started, seen = world.delivery.messages[seen:], len(world.delivery.messages)
        for message in started:
            world.finish(world.run(message.run_id))


def test_equal_tenants_got_equal_parts(tmp_path: Path) -> None:
    policy = replace(Policy(), system=4, user=None)
    world = World(tmp_path, policy=policy, tenants=dict.fromkeys(("acme", "bolt", "corp"), "enterprise"))
    busy(world, {"acme": 60, "bolt": 40, "corp": 40}, 20)

    report = fairness_report(world.deps)

    print("\n", report.jain, [(t.tenant, t.part) for t in report.tenants])
    assert report.jain is not None
    assert report.jain >= 0.95
    assert report.complete
    assert sum(tenant.part.held for tenant in report.tenants) == pytest.approx(4 * 200, rel=0.02)
    assert all(tenant.longest_wait == 200.0 and tenant.part.demand for tenant in report.tenants)
    assert fairness_report(world.deps) == report  # counted from the runs: asking twice is once


def test_first_come_first_served_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: dispatch that gives every slot to the first tenant by name."""
    policy = replace(Policy(), system=4, user=None)
    world = World(tmp_path, policy=policy, tenants=dict.fromkeys(("acme", "bolt", "corp"), "enterprise"))
    plain = tenants.refreshed
    first = {"acme": 0.0, "bolt": 1.0, "corp": 2.0}
    monkeypatch.setattr(tenants, "refreshed", lambda tenant: replace(plain(tenant), turn=first[tenant.id]))
    busy(world, {"acme": 100, "bolt": 20, "corp": 20}, 20)

    report = fairness_report(world.deps)

    print("\n", report.jain)
    assert report.jain is not None
    assert report.jain < 0.7
