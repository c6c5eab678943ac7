"""Attempts that are over while the next one runs; scopes that are emptied, resumed, drained; workers of other places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from headgate.core.errors import StaleFence
from headgate.core.policy import OnLimit, Policy
from headgate.core.run import Run
from headgate.flow import fleet, pause, sweep, work
from headgate.flow.pause import Pause
from headgate.handlers.interface import Done, Failed
from headgate.store.port import Backend, Write
from headgate.store.sqlite import SqliteBackend
from tests.support.world import Clock, World
from tests.support.wrapped import Hooked

AGAIN = Failed(code="HANDLER_ERROR", message="once more", retryable=True)


@pytest.fixture
def attempts(world: World) -> tuple[Run, Run]:
    """An attempt that stalled past its lease, and the one that runs since."""
    first = world.claim(world.accepted())
    world.clock.forward(first.lease_seconds + 1)
    sweep.sweep(world.deps, world.dispatcher)
    world.clock.forward(61)
    sweep.sweep(world.deps, world.dispatcher)
    return first, world.claim(first)


def test_a_late_outcome_changes_nothing_while_the_next_attempt_runs(world: World, attempts: tuple[Run, Run]) -> None:
    late, current = attempts
    assert work.finish(world.deps, world.dispatcher, late, work.Ending(outcome=Done({"late": True}))) is None
    assert work.hand_back(world.deps, world.dispatcher, late) is None
    with pytest.raises(StaleFence):
        work.beat(world.deps, late, "too late")
    assert world.run(current) == current
    world.finish(current)


def test_a_run_of_a_scope_that_is_emptied_is_not_tried_again(world: World) -> None:
    run = world.claim(world.accepted(repo="o/r"))
    pause.pause(world.deps, world.dispatcher, "acme", Pause(scope="repo:o/r", mode="drain"), world.why())
    world.finish(run, AGAIN)
    assert world.state(run) == "cancelled"


def test_a_resumed_scope_starts_who_waited_for_it(world: World) -> None:
    pause.pause(world.deps, world.dispatcher, "acme", Pause(scope="repo:o/r", mode="hold"), world.why())
    run = world.accepted(repo="o/r")
    assert world.state(run) == "queued"
    pause.resume(world.deps, world.dispatcher, "acme", "repo:o/r", world.why())
    assert world.state(run) == "pending"


def test_a_start_leaves_the_runs_of_other_places_alone(world: World) -> None:
    run = world.claim(world.accepted())
    sweep.reclaim(world.deps, world.dispatcher, "another-place:")
    assert world.run(run) == run
    world.finish(run)


def test_who_would_queue_on_an_old_mode_does_not(tmp_path: Path) -> None:
    """The system is full, so of its shards none is written: the drain that comes in between stands in the line's, too."""
    hooked: list[Hooked] = []

    def backend(clock: Clock) -> Backend:
        hooked.append(Hooked(SqliteBackend(":memory:", "off", clock)))
        return hooked[0]

    world = World(tmp_path, Policy(system=1), backend=backend)
    world.accepted()

    def drain(writes: Sequence[Write]) -> None:
        hooked[0].before_commit = lambda writes: None
        fleet.set_mode(world.deps, world.dispatcher, "draining", world.why())

    hooked[0].before_commit = drain
    assert world.refused(on_limit=OnLimit.QUEUE) == "SYSTEM_DRAINING"
