"""Pauses, modes, closed kinds and caps: what is committed binds at submit, at promotion and at claim."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.core.policy import OnLimit, Policy
from headgate.flow import fleet, invariants, overview, pause, setup, sweep, work
from headgate.flow.pause import Pause
from headgate.store.documents import AuditRecord, where
from tests.support.world import World


def test_a_pause_sends_pending_runs_back_and_nothing_starts(world: World) -> None:
    pending, running = world.accepted(), world.claim(world.accepted())
    pause.pause(world.deps, world.dispatcher, "acme", Pause(), world.why())
    assert (world.state(pending), world.state(running)) == ("queued", "running")
    assert world.refused() == "TENANT_PAUSED"
    assert work.claim(world.deps, pending.id, pending.fence, "w") is None
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(pending) == "queued"
    world.finish(running)
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    assert world.state(pending) == "pending"


@pytest.mark.parametrize(
    ("mode", "submits", "queued", "pending", "running"),
    [
        ("reject", "TENANT_PAUSED", "queued", "queued", "running"),
        ("hold", "queued", "queued", "queued", "running"),
        ("drain", "TENANT_PAUSED", "cancelled", "cancelled", "running"),
        ("drain_cancel", "TENANT_PAUSED", "cancelled", "cancelled", "cancelled"),
    ],
)
def test_the_four_modes(world: World, mode: str, submits: str, queued: str, pending: str, running: str) -> None:
    claimed = world.claim(world.accepted(repo="o/n"))
    waiting_for_worker = world.accepted(repo="o/n")
    in_line = world.accepted(repo="o/n")
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode=mode), world.why())
    assert [world.state(r) for r in (in_line, waiting_for_worker, claimed)] == [queued, pending, running]
    assert submits == (str(world.accepted().state) if mode == "hold" else world.refused())


def test_a_paused_repository_blocks_only_its_own(world: World) -> None:
    pause.pause(world.deps, world.dispatcher, "acme", Pause(scope="repo:o/n"), world.why())
    assert world.refused(repo="o/n") == "SCOPE_PAUSED"
    assert world.accepted(repo="o/other").state == "pending"


def test_a_pause_ends_by_itself(world: World) -> None:
    run = world.accepted()
    until = world.clock.ms + 60_000
    pause.pause(world.deps, world.dispatcher, "acme", Pause(until=until), world.why())
    assert world.state(run) == "queued"
    world.clock.forward(61)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "pending"


def test_the_sweep_ends_a_pause_that_a_dead_process_began(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*args: object) -> None:
        raise KeyboardInterrupt

    run = world.accepted()
    monkeypatch.setattr(pause, "finish_pause", dies)
    with pytest.raises(KeyboardInterrupt):
        pause.pause(world.deps, world.dispatcher, "acme", Pause(), world.why())
    assert world.tenant().gates["tenant"].state == "pausing"
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "queued"
    assert world.tenant().gates["tenant"].state == "paused"


def test_draining_takes_no_new_work_and_finishes_the_line(world: World) -> None:
    runs = [world.accepted(repo="o/n") for _ in range(3)]
    fleet.set_mode(world.deps, world.dispatcher, "draining", world.why())
    assert world.refused() == "SYSTEM_DRAINING"
    assert world.refused(on_limit=OnLimit.QUEUE, repo="o/n") == "SYSTEM_DRAINING"
    for run in runs:
        world.finish(run)
    assert {world.state(run) for run in runs} == {"completed"}


def test_maintenance_starts_nothing(world: World) -> None:
    run = world.accepted()
    fleet.set_mode(world.deps, world.dispatcher, "maintenance", world.why())
    assert world.state(run) == "queued"
    assert world.refused() == "SYSTEM_MAINTENANCE"
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "queued"
    fleet.set_mode(world.deps, world.dispatcher, "normal", world.why())
    assert world.state(run) == "pending"


def test_a_closed_kind_holds_its_runs_and_lets_others_pass(world: World) -> None:
    git = world.accepted(kind="git")
    fleet.close_kind(world.deps, world.dispatcher, "git", "hold", world.why())
    assert world.state(git) == "queued"
    assert world.accepted(kind="git").state == "queued"
    assert world.accepted(kind="command").state == "pending"
    fleet.open_kind(world.deps, world.dispatcher, "git", world.why())
    assert world.state(git) == "pending"


def test_a_lowered_cap_kills_nobody_and_starts_nobody(world: World) -> None:
    runs = [world.accepted() for _ in range(4)]
    fleet.set_cap(world.deps, world.dispatcher, "system", 2, world.why())
    waiting = world.accepted()
    assert [world.state(run) for run in runs] == ["pending"] * 4
    for run in runs[:2]:
        world.finish(run)
    assert world.state(waiting) == "queued"
    world.finish(runs[2])
    assert world.state(waiting) == "pending"
    used = {held.scope: held.used for held in overview.held_scopes(world.deps)}
    assert (used["system"], used["tenant:acme"], used["kind:command"]) == (2, 2, 2)


def test_a_raised_cap_starts_who_waits(world: World) -> None:
    fleet.set_cap(world.deps, world.dispatcher, "system", 1, world.why())
    first, second = world.accepted(), world.accepted()
    assert world.state(second) == "queued"
    fleet.set_cap(world.deps, world.dispatcher, "system", None, world.why())
    assert world.state(second) == "pending"
    world.finish(first)


def test_every_switch_leaves_an_audit_record(world: World) -> None:
    pause.pause(world.deps, world.dispatcher, "acme", Pause(), world.why("backlog"))
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    fleet.set_mode(world.deps, world.dispatcher, "draining", world.why())
    fleet.set_cap(world.deps, world.dispatcher, "kind:git", 7, world.why())
    found = world.deps.store.query(AuditRecord, where(AuditRecord, order=("at",)))
    assert {record.action for record in found} == {"pause", "resume", "mode.set", "limit.set"}
    assert next(r for r in found if r.action == "pause").reason == "backlog"


def test_a_changed_policy_is_applied_at_the_next_start(world: World) -> None:
    runs = [world.accepted(repo="o/n") for _ in range(3)]
    wider = replace(Policy(), repo=3, system=60)
    deps = replace(world.deps, policy=wider)
    setup.prepare(deps, world.dispatcher)
    assert [world.state(run) for run in runs] == ["pending"] * 3
    assert {held.scope: held.limit for held in overview.held_scopes(deps)}["system"] == 60
    setup.prepare(world.deps, world.dispatcher)


def test_the_invariants_name_a_leak(world: World) -> None:
    from headgate.core.tenant import Holder

    run = world.accepted()
    holders = {**world.tenant().holders, "run_ghost": Holder(since=0, expected=1.0, kind="git")}
    world.set_tenant("acme", holders=holders)
    found = invariants.check(world.deps).violations
    assert [(v.invariant, v.subject) for v in found] == [("I2", "tenant:acme")]
    assert "run_ghost" in found[0].detail
    world.set_tenant("acme", holders={run.id: holders[run.id]})
