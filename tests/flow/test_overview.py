"""Places in line: read together they are what they are one by one, and cost what a page costs, not what its runs do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from headgate.bench.counting import CountingBackend
from headgate.core.line import order
from headgate.core.policy import OnLimit
from headgate.core.run import Run
from headgate.flow import overview
from headgate.store.documents import where
from headgate.store.sqlite import SqliteBackend
from tests.support.world import Clock, World


def in_a_line(world: World, length: int) -> list[Run]:
    """Every run of a tenant with `length` in line, some delayed, some in flight."""
    chance = random.Random(7)
    for number in range(5 + length):
        kind = "git" if number % 3 else "command"
        world.accepted(kind=kind, priority=chance.randrange(8), repo=f"o/r{number % 4}", on_limit=OnLimit.QUEUE)
        world.clock.forward(chance.randrange(90))
    for _ in range(2):
        world.accepted(not_before=world.clock.ms + 60_000)
    return world.deps.store.query(Run, where(Run, ("tenant", "==", "acme"), order=("-created_at",)))


@pytest.mark.parametrize("length", [0, 3, 8, 9, 30])
def test_together_as_one_by_one(world: World, length: int) -> None:
    runs = in_a_line(world, length)

    together = overview.lines_of(world.deps, runs)

    line = order(runs)
    assert len(line) == length
    assert set(together) == {run.id for run in runs if run.state == "queued"}
    for run in runs:
        assert together.get(run.id) == overview.line_of(world.deps, run)
    for place, run in enumerate(line):
        assert together[run.id].position == place + 1
        assert together[run.id].ahead_by_priority == sum(ahead.priority > run.priority for ahead in line[:place])
        assert together[run.id].length == length + 2


def test_a_page_costs_no_more_than_its_line(tmp_path: Path) -> None:
    counting: list[CountingBackend] = []

    def backend(clock: Clock) -> CountingBackend:
        counting.append(CountingBackend(SqliteBackend(":memory:", "off", clock)))
        return counting[0]

    world = World(tmp_path, backend=backend)
    runs = in_a_line(world, 30)
    # What is kept for a while (durations, use of wide scopes) is read for everybody.
    overview.lines_of(world.deps, runs)
    counting[0].reset()

    assert len(overview.lines_of(world.deps, runs)) == 32

    assert counting[0].reads <= 30 + 5  # the line; the tenant, the system's control and shard, a shard of either kind


def test_nobody_waits(world: World) -> None:
    assert overview.lines_of(world.deps, []) == {}
    assert overview.lines_of(world.deps, [world.accepted()]) == {}
