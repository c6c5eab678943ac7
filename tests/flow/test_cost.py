"""What a run costs in documents over its whole life, with all six scopes limited (SPEC 13)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headgate.bench.counting import CountingBackend
from headgate.core.policy import OnLimit, Policy
from headgate.flow import work
from headgate.handlers.interface import Done
from headgate.store.sqlite import SqliteBackend
from tests.support.world import Clock, World

ALL_LIMITED = replace(Policy(), org=3, repo=2, user=2, kinds={"git": 5, "command": 30})


@pytest.fixture
def counted(tmp_path: Path) -> tuple[World, CountingBackend]:
    counting: list[CountingBackend] = []

    def backend(clock: Clock) -> CountingBackend:
        counting.append(CountingBackend(SqliteBackend(":memory:", "off", clock)))
        return counting[0]

    return World(tmp_path, policy=ALL_LIMITED, backend=backend, tenants={"acme": "enterprise"}), counting[0]


def life(world: World, run_id: str, fence: int) -> None:
    claimed = work.claim(world.deps, run_id, fence, "w")
    assert claimed is not None
    work.finish(world.deps, world.dispatcher, claimed, work.Ending(outcome=Done({}), output="bye"))


@pytest.mark.parametrize("others", [0, 15])
def test_a_run_admitted_at_once(counted: tuple[World, CountingBackend], others: int) -> None:
    world, counting = counted
    for n in range(others):
        world.accepted(user=f"u{n}", repo=f"o{n}/n")
    world.submitter._uses.of("system"), world.submitter._uses.of("kind:git")  # counted once a second, for everybody
    counting.reset()
    run = world.accepted(kind="git", user="ada", repo="o/n", key="k")
    assert run.state == "pending"
    life(world, run.id, run.fence)
    print(f"\nadmitted at once beside {others}: {counting.reads} reads, {counting.writes} writes")
    assert counting.reads <= 12
    assert counting.writes <= 12


@pytest.mark.parametrize("length", [1, 60])
def test_runs_that_queue(counted: tuple[World, CountingBackend], length: int) -> None:
    """The average over a whole line, from submission to end: the cost of each promotion is that of the promoted run."""
    world, counting = counted
    holders = [world.accepted(kind="git", user="ada", repo="o/n") for _ in range(2)]
    world.submitter._uses.of("system"), world.submitter._uses.of("kind:git")
    counting.reset()
    for n in range(length):
        queued = world.accepted(kind="git", user=f"u{n % 8}", repo="o/n", key=f"k{n}", on_limit=OnLimit.QUEUE)
        assert queued.state == "queued"
    for holder in holders:
        life(world, holder.id, holder.fence)
    own = (2 * 6, 2 * 6)  # what the two that were there before cost by themselves, from claim to end
    served: set[str] = set()
    while pending := [m for m in world.delivery.messages[2:] if m.run_id not in served]:
        for message in pending:
            served.add(message.run_id)
            life(world, message.run_id, message.fence)
    reads, writes = (
        (total - mine) / length for total, mine in zip((counting.reads, counting.writes), own, strict=True)
    )
    print(f"\nqueued in a line of {length}: {reads:.1f} reads, {writes:.1f} writes a run")
    assert len(served) == length
    assert reads <= 24
    assert writes <= 22
