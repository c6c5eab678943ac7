"""H2: an attempt that was given up comes back with a result. Every write of a worker carries its fence; a stale one is
refused, and nothing that it brings is kept."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from headgate.core.errors import StaleFence
from headgate.core.run import Run
from headgate.flow import overview, work
from headgate.handlers.interface import Done, Failed
from headgate.store.transaction import Tx
from tests.support.lone_worker import QUICK_LEASE, lone_worker
from tests.support.scenes import ends, round_of
from tests.support.systems import eventually, pubsub_system, said, stored, submit, swept_until
from tests.support.world import World

LATE = work.Ending(outcome=Failed(code="EXIT_NONZERO", message="late"), output="late output\n")


def overtaken(world: World) -> tuple[Run, Run]:
    """An attempt whose lease ran out, and the one that took its place and is under way."""
    first = world.claim(world.accepted())
    round_of(world)
    round_of(world)
    return first, world.claim(first)


def test_a_late_result_changes_nothing(world: World):
    first, second = overtaken(world)
    before = world.run(first)
    assert work.finish(world.deps, world.dispatcher, first, LATE) is None
    with pytest.raises(StaleFence):
        work.beat(world.deps, first, "late output\n")
    assert work.hand_back(world.deps, world.dispatcher, first) is None
    assert world.run(first) == before
    assert world.telemetry.actions().count("run.late_result") == 2
    assert work.finish(world.deps, world.dispatcher, second, work.Ending(outcome=Done({"n": 2}))) is not None
    assert (world.state(first), world.run(first).result, ends(world, first)) == ("completed", '{"n":2}', 1)
    assert work.finish(world.deps, world.dispatcher, first, LATE) is None, "nor after the end"
    assert [chunk.text for chunk in overview.output_of(world.deps, world.run(first))] == []


def test_control_without_the_fence_the_dead_attempt_decides(broken: World, monkeypatch: pytest.MonkeyPatch):
    def unfenced(tx: Tx, run: Run) -> Run:
        now = tx.get(Run, run.id)
        assert now is not None
        return now

    monkeypatch.setattr(work, "_current", unfenced)
    first, second = overtaken(broken)
    assert work.finish(broken.deps, broken.dispatcher, first, LATE) is not None
    assert broken.state(second) == "failed", "the run failed by a result of an attempt that was over"


@pytest.mark.linux
def test_a_worker_stopped_past_its_lease_and_continued_is_refused(tmp_path: Path):
    """SIGSTOP, lease over, sweep, another worker; SIGCONT."""
    with pubsub_system(tmp_path, **QUICK_LEASE) as system:
        run = submit(system, "sleep", "60")
        with lone_worker(tmp_path, run, **QUICK_LEASE) as first:
            eventually(system, run, "running", seconds=60)
            first.process.send_signal(signal.SIGSTOP)
            again = swept_until(system, run, attempt=2, state="pending")
            claimed = work.claim(system.deps, again.id, again.fence, "worker-2")
            assert claimed is not None
            work.finish(system.deps, system.dispatcher, claimed, work.Ending(outcome=Done({"n": 2})))
            ended = stored(system, run)
            first.process.send_signal(signal.SIGCONT)
            assert first.answer() == "EXECUTED"
            assert "run.late_result" in first.log()
        assert stored(system, run) == ended
        assert (ended.state, ended.attempt, ended.result) == ("completed", 2, '{"n":2}')
        assert said(system, "lease.reclaimed")
