"""H1: a message comes again while its first attempt runs. The claim takes a run once; the lease belongs to who beats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headgate.core.run import Run, RunState
from headgate.flow import sweep, work
from headgate.flow.deps import Deps
from headgate.flow.ledger import put_run
from headgate.store.transaction import Tx
from tests.support.scenes import ends, execute, round_of
from tests.support.world import World

LEASE_MS = 30_000
Claim = Callable[[Deps, str, int, str], Run | None]


def redelivered(world: World, claim: Claim, after_ms: int) -> tuple[Run, int]:
    """The run, and how many workers were told to execute it when its message came twice, so long after the claim."""
    run = world.accepted()
    told = [claim(world.deps, run.id, run.fence, "worker-1")]
    world.clock.ms += after_ms
    told.append(claim(world.deps, run.id, run.fence, "worker-2"))
    return run, sum(one is not None for one in told)


def claims_whatever_comes(deps: Deps, run_id: str, fence: int, worker: str) -> Run | None:
    """The wrong variant: a worker that trusts the message."""

    def body(tx: Tx) -> Run:
        run = tx.get(Run, run_id)
        assert run is not None
        lease = tx.now + LEASE_MS
        run = replace(
            run, state=RunState.RUNNING, fence=run.fence + 1, worker=worker, lease_until=lease, publish_due=None
        )
        put_run(tx, run, deps.policy)
        return run

    return deps.store.transact(body, f"run:{run_id}")


MOMENTS = [0, LEASE_MS // 2, LEASE_MS - 1, LEASE_MS + 1]


@pytest.mark.parametrize("after_ms", MOMENTS)
def test_a_duplicate_while_the_attempt_runs_starts_nothing(world: World, after_ms: int):
    run, told = redelivered(world, work.claim, after_ms)
    assert told == 1
    assert world.run(run).worker == "worker-1"
    world.finish(run)
    assert (world.state(run), ends(world, run)) == ("completed", 1)


@pytest.mark.parametrize("after_ms", MOMENTS)
def test_control_a_worker_that_trusts_the_message_executes_twice(broken: World, after_ms: int):
    _, told = redelivered(broken, claims_whatever_comes, after_ms)
    assert told == 2


def test_heartbeats_hold_the_run_beyond_its_first_lease(world: World):
    run = world.accepted()
    claimed = world.claim(run)
    for _ in range(9):
        round_of(world, 10)
        work.beat(world.deps, claimed)
        assert work.claim(world.deps, run.id, run.fence, "worker-2") is None
    assert world.run(run).attempt == 1
    world.finish(run)


def test_the_sweep_covers_the_lease_that_then_ends(world: World):
    """The duplicate was acknowledged, so nobody brings the message again: the run must come back by itself."""
    run, _ = redelivered(world, work.claim, LEASE_MS + 1)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.run(run).attempt == 2
    round_of(world)
    [again] = [m for m in world.delivery.messages if m.fence > run.fence]
    assert work.claim(world.deps, run.id, run.fence, "worker-3") is None, "the first attempt's message is dead"
    assert execute(world, again) is not None
    assert (world.state(run), ends(world, run)) == ("completed", 1)


def test_control_without_the_sweep_an_acknowledged_duplicate_strands_the_run(
    broken: World, monkeypatch: pytest.MonkeyPatch
):
    def nothing(*args: Any) -> None:
        return

    monkeypatch.setattr(sweep, "_lose", nothing)
    run, _ = redelivered(broken, work.claim, LEASE_MS + 1)
    for _ in range(5):
        round_of(broken)
    assert broken.state(run) == "running"
