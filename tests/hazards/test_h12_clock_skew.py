"""H12: clocks differ. Every time that is stored or compared is the store's; a process uses its own clock only for how
long it has waited. The store's own time never goes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.core.errors import StaleFence
from headgate.core.run import Run
from headgate.flow import sweep, work
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.handlers.interface import Done
from headgate.store.sqlite import SqliteBackend
from tests.support.scenes import another_process, ends, round_of
from tests.support.world import START, Clock, World

SKEWS = [-3600.0, -45.0, 45.0, 3600.0]
HOUR_MS = 3_600_000


def lives_under_skew(world: World, skew: float) -> Run:
    """A run of a worker whose clock is off, beating on time, swept by a process whose clock is off the other way."""
    worker, sweeper = another_process(world, skew), another_process(world, -skew)
    run = work.claim(worker.deps, world.accepted().id, 0, "skewed")
    assert run is not None
    for _ in range(12):
        world.clock.forward(10)
        work.beat(worker.deps, run)
        sweeper.sweep()
    return run


@pytest.mark.parametrize("skew", SKEWS)
def test_a_live_run_is_not_taken_from_a_worker_whose_clock_is_off(world: World, skew: float):
    run = lives_under_skew(world, skew)
    assert (world.run(run).attempt, world.state(run)) == (1, "running")
    worker = another_process(world, skew)
    work.finish(worker.deps, worker.dispatcher, run, work.Ending(outcome=Done({})))
    now = world.run(run)
    assert (now.state, ends(world, run)) == ("completed", 1)
    assert (now.started_at, now.finished_at) == (START, START + 120_000), "stored times are the store's"


@pytest.mark.parametrize("skew", SKEWS)
def test_a_dead_run_is_taken_back_on_time_by_a_sweep_whose_clock_is_off(world: World, skew: float):
    run, sweeper = world.claim(world.accepted()), another_process(world, skew)
    world.clock.ms += 29_999
    sweeper.sweep()
    assert world.run(run).attempt == 1
    world.clock.ms += 1
    sweeper.sweep()
    assert world.run(run).attempt == 2


def test_control_a_sweep_that_asks_its_own_clock_takes_live_runs(broken: World, monkeypatch: pytest.MonkeyPatch):
    def by_own_clock(deps: Deps, dispatcher: Dispatcher) -> None:
        for run in deps.store.query(Run, sweep._overdue("lease_until", deps.timing.wall_ms(), "running")(10)):
            work.lose(deps, dispatcher, run, known_dead=True)

    monkeypatch.setattr(sweep, "sweep", by_own_clock)
    with pytest.raises(StaleFence):
        lives_under_skew(broken, -45.0)


def test_the_stores_time_never_goes_back(world: World):
    """The machine's clock is set back an hour in the middle of a lease: nothing is stored with an earlier time, the
    worker keeps its run, and when it is silent the run comes back once the clock has caught up."""
    run = world.claim(world.accepted())
    world.clock.ms += 10_000
    work.beat(world.deps, run)
    world.clock.ms -= HOUR_MS
    work.beat(world.deps, run)
    now = world.run(run)
    assert now.beat_at == START + 10_000
    assert now.lease_until == START + 40_000
    sweep.sweep(world.deps, world.dispatcher)
    assert world.run(run).attempt == 1
    round_of(world, 3600 + 31)
    assert world.run(run).attempt == 2
    times = [event.at for event in world.run(run).events]
    assert times == sorted(times)


def test_control_a_store_whose_time_goes_back_shortens_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SqliteBackend, "_now", lambda self, connection: self._clock())
    broken = World(tmp_path)
    run = broken.claim(broken.accepted())
    broken.clock.ms += 10_000
    work.beat(broken.deps, run)
    broken.clock.ms -= HOUR_MS
    work.beat(broken.deps, run)
    lease = broken.run(run).lease_until
    assert lease is not None
    assert lease < START


def test_a_store_reopened_after_the_clock_was_set_back_keeps_its_leases(tmp_path: Path):
    """A process that starts anew knows no later time than its clock's: leases are long then, never short."""
    clock = Clock()
    backend = SqliteBackend(str(tmp_path / "s.db"), "normal", clock)
    assert backend.get([], 1.0).now == START
    clock.ms -= HOUR_MS
    assert backend.get([], 1.0).now == START
    backend.close()
    reopened = SqliteBackend(str(tmp_path / "s.db"), "normal", clock)
    assert reopened.get([], 1.0).now == START - HOUR_MS
    reopened.close()
