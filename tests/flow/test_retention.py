"""What is kept, and for how long: SPEC 14. Nothing a day early, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.core.policy import Policy, Retention
from headgate.core.run import Artifact, Run
from headgate.flow import dead_letters, retention, sweep, work
from headgate.handlers.interface import Done
from headgate.store.documents import DeadLetter, EventChunk, IdempotencyRecord, LogChunk, ReceiptRecord, to_raw, where
from headgate.store.port import Key, Put
from tests.support.world import START, World

DAY = 24 * 3600.0
KEPT = {IdempotencyRecord: 1, ReceiptRecord: 7, LogChunk: 30, EventChunk: 30, DeadLetter: 30, Run: 90}


def counts(world: World) -> dict[type, int]:
    return {cls: world.deps.store.count(where(cls)) for cls in KEPT}


@pytest.fixture
def one_of_each(world: World) -> World:
    """A run with a used key, output and an old event's chunk, that has ended; and a refusal."""
    run = world.claim(world.accepted(key="k"))
    work.finish(world.deps, world.dispatcher, run, work.Ending(outcome=Done({}), output="hello"))
    for _ in range(5):
        world.accepted()
    world.refused()
    dead_letters.quarantine(world.deps, "dl_1", "{", "no JSON")
    chunk = EventChunk(id="e", run=run.id, seq=1, events=(), expire_at=world.clock.ms + 30 * round(DAY) * 1000)
    world.deps.store.transact(lambda tx: tx.create(chunk), "e")
    return world


def test_each_is_kept_for_its_days_and_no_longer(one_of_each: World) -> None:
    world, began = one_of_each, counts(one_of_each)
    assert all(began.values())
    for days in sorted(set(KEPT.values())):
        world.clock.ms = START + round(days * DAY * 1000) - 1
        sweep.sweep(world.deps, world.dispatcher)
        assert all(counts(world)[cls] == began[cls] for cls in KEPT if KEPT[cls] >= days), f"too early: day {days}"
        world.clock.ms += 2
        sweep.sweep(world.deps, world.dispatcher)
        gone = {cls for cls in KEPT if KEPT[cls] == days}
        assert all(counts(world)[cls] < began[cls] for cls in gone), f"left behind: day {days}"
    assert [run.state for run in world.deps.store.query(Run, where(Run)) if run.finished_at is None] == ["pending"] * 5


def test_a_run_takes_its_artifacts_with_it(world: World, tmp_path: Path) -> None:
    file = tmp_path / "report"
    file.write_text("x")
    run = world.claim(world.accepted())
    saved: Artifact = world.deps.artifacts.save(run.id, "1", "report", file, "text/plain")
    work.finish(world.deps, world.dispatcher, run, work.Ending(outcome=Done({}), artifacts=(saved,)))
    assert list((tmp_path / "artifacts").rglob("report"))
    world.clock.forward(91 * DAY)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.deps.store.get(Run, run.id) is None
    assert not list((tmp_path / "artifacts").rglob("report"))


def test_a_backlog_is_worked_off_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAGE", 2)
    monkeypatch.setattr(retention, "PAGES", 3)
    for number in range(13):
        raw = to_raw(ReceiptRecord(id=f"r{number}", tenant="acme", at=0, body={}, expire_at=number))
        world.deps.store.remove([Put(Key("receipts", f"r{number}"), raw, None)])
    assert [retention.remove_expired(world.deps, world.clock.ms) for _ in range(4)] == [6, 6, 1, 0]


def test_the_policy_says_how_long(tmp_path: Path) -> None:
    world = World(tmp_path, Policy(retention=Retention(runs=2)))
    world.finish(world.accepted())
    world.clock.forward(2 * DAY - 1)
    sweep.sweep(world.deps, world.dispatcher)
    assert counts(world)[Run] == 1
    world.clock.forward(2)
    sweep.sweep(world.deps, world.dispatcher)
    assert counts(world)[Run] == 0
