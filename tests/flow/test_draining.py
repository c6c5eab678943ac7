"""A drain shows how far it has come, and is recorded once when it is over."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import pytest

from headgate.core.errors import Code
from headgate.core.wide import Control
from headgate.flow import draining, fleet, invariants, sweep
from headgate.store.documents import AuditRecord, where
from headgate.store.reader import Store
from headgate.store.sqlite import SqliteBackend
from tests.support.live import Live
from tests.support.places import store_over
from tests.support.threads import all_well, together
from tests.support.world import World


def drain(world: World) -> None:
    fleet.set_mode(world.deps, world.dispatcher, "draining", world.why("deploy"))


def completed(store: Store) -> list[AuditRecord]:
    return [record for record in store.query(AuditRecord, where(AuditRecord)) if record.action == "drain.completed"]


def test_progress_estimate_and_the_time_it_took(world: World) -> None:
    runs = [world.accepted(repo="o/n") for _ in range(4)]
    world.clock.forward(5)
    drain(world)
    found = draining.look_at(world.deps)
    assert (found.mode, found.by, found.reason, found.since) == ("draining", "op", "deploy", world.clock.ms)
    assert (found.total, found.finished, found.running, found.queued) == (4, 0, 2, 2)
    assert (found.estimated_seconds, found.seconds) == (None, None)

    world.clock.forward(30)
    world.finish(runs[0])
    found = draining.look_at(world.deps)
    assert (found.total, found.finished, found.running, found.queued) == (4, 1, 2, 1)
    assert found.estimated_seconds == 90.0
    sweep.sweep(world.deps, world.dispatcher)
    assert not completed(world.deps.store)

    for run in runs[1:]:
        world.clock.forward(10)
        world.finish(run)
    world.clock.forward(55)  # whenever it is found out, the last run ended it
    for _ in range(3):
        sweep.sweep(world.deps, world.dispatcher)
    found = draining.look_at(world.deps)
    assert (found.finished, found.estimated_seconds, found.seconds) == (4, 0.0, 60.0)
    [record] = completed(world.deps.store)
    assert (record.before, record.after, record.subject, record.reason) == (
        {"runs": 4}, {"seconds": 60.0}, "system", "deploy",
    )  # fmt: skip
    facts = [facts for action, facts in world.telemetry.said if action == "drain.completed"]
    assert facts == [{"seconds": 60.0, "runs": 4}]


def test_a_drain_of_nothing_is_over_at_once(world: World) -> None:
    drain(world)
    sweep.sweep(world.deps, world.dispatcher)
    assert draining.look_at(world.deps).seconds == 0.0


def test_a_drain_that_was_called_off_is_not_recorded(world: World) -> None:
    run = world.accepted()
    drain(world)
    fleet.set_mode(world.deps, world.dispatcher, "normal", world.why())
    world.finish(run)
    sweep.sweep(world.deps, world.dispatcher)
    assert not completed(world.deps.store)
    found = draining.look_at(world.deps)
    assert (found.mode, found.total, found.finished, found.seconds) == ("normal", 0, 0, None)


def test_draining_again_goes_on_counting(world: World) -> None:
    first, second = world.accepted(), world.accepted()
    drain(world)
    world.finish(first)
    before = draining.look_at(world.deps)
    drain(world)
    assert asdict(draining.look_at(world.deps)) | {"estimated_seconds": None} == asdict(before) | {
        "estimated_seconds": None
    }
    world.finish(second)


def test_a_second_drain_is_recorded_too(world: World) -> None:
    for _ in range(2):
        run = world.accepted()
        drain(world)
        world.clock.forward(7)
        world.finish(run)
        sweep.sweep(world.deps, world.dispatcher)
        fleet.set_mode(world.deps, world.dispatcher, "normal", world.why())
    assert [record.after for record in completed(world.deps.store)] == [{"seconds": 7.0}] * 2


def test_maintenance_starts_nothing_and_counts_what_runs(world: World) -> None:
    running = world.claim(world.accepted())
    pending = world.accepted()
    fleet.set_mode(world.deps, world.dispatcher, "maintenance", world.why())
    found = draining.look_at(world.deps)
    assert (found.mode, found.total, found.running, found.queued) == ("maintenance", 2, 1, 1)
    assert world.refused() is Code.SYSTEM_MAINTENANCE
    world.finish(running)
    assert world.state(pending) == "queued"
    assert draining.look_at(world.deps).estimated_seconds is None
    sweep.sweep(world.deps, world.dispatcher)
    assert not completed(world.deps.store)


def test_many_sweeps_at_once_record_it_once() -> None:
    backend = SqliteBackend(":memory:", "off", None)
    lives = [Live(store_over(backend)) for _ in range(4)]
    lives[0].prepare(acme="pro")
    lives[0].submit("acme")
    fleet.set_mode(lives[0].deps, lives[0].dispatcher, "draining", lives[0].why())
    lives[0].execute_all()
    done = all_well(together([partial(draining.note_drained, live.deps) for live in lives * 3]))
    assert sum(done) == 1
    assert len(completed(lives[0].deps.store)) == 1
    said = [facts for live in lives for action, facts in live.telemetry.said if action == "drain.completed"]
    assert len(said) == 1
    assert invariants.check(lives[0].deps).violations == ()


def test_control_a_note_that_does_not_look_is_made_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    drain(world)
    monkeypatch.setattr(draining, "_under_way", lambda state: True)
    for _ in range(2):
        draining.note_drained(world.deps)
    assert len(completed(world.deps.store)) == 2
    control = world.deps.store.get(Control, "system")
    assert control is not None
    monkeypatch.undo()
