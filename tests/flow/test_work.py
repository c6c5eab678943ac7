"""Claim, heartbeat, finish: one attempt holds the run, one outcome is recorded."""

from __future__ import annotations

import pytest

from headgate.core.errors import StaleFence
from headgate.core.run import Artifact, Usage
from headgate.flow import cancel, overview, pause, sweep, work
from headgate.handlers.interface import Done, Failed
from tests.support.world import World

RETRYABLE = Failed(code="HANDLER_ERROR", message="the network", retryable=True)


def test_a_duplicate_delivery_claims_nothing(world: World) -> None:
    run = world.accepted()
    assert work.claim(world.deps, run.id, run.fence, "w1") is not None
    assert work.claim(world.deps, run.id, run.fence, "w2") is None
    assert world.run(run).worker == "w1"


def test_a_message_of_another_fence_claims_nothing(world: World) -> None:
    run = world.accepted()
    assert work.claim(world.deps, run.id, run.fence + 1, "w1") is None
    assert work.claim(world.deps, "run_unknown", 0, "w1") is None


def test_the_outcome_is_recorded_with_all_that_came_of_it(world: World) -> None:
    claimed = world.claim(world.accepted())
    artifact = Artifact(name="a", uri="u", bytes=1, sha256="s", media_type="m")
    ending = work.Ending(
        outcome=Done({"n": 1}, Usage(peak_memory_bytes=5, cpu_seconds=0.5)), artifacts=(artifact,), output="bye\n"
    )
    work.finish(world.deps, world.dispatcher, claimed, ending)
    run = world.run(claimed)
    assert (run.state, run.result, run.artifacts) == ("completed", '{"n":1}', (artifact,))
    assert [chunk.text for chunk in overview.output_of(world.deps, run)] == ["bye\n"]
    assert [event["type"] for event in overview.events_of(world.deps, run, 0)] == [
        "run.pending", "run.running", "run.finished",
    ]  # fmt: skip


def test_a_heartbeat_extends_the_lease_and_stores_output(world: World) -> None:
    claimed = world.claim(world.accepted())
    world.clock.forward(20)
    work.beat(world.deps, claimed, "half\n")
    run = world.run(claimed)
    assert run.lease_until == world.clock.ms + 30_000
    assert [chunk.text for chunk in overview.output_of(world.deps, run)] == ["half\n"]


def test_a_lost_lease_is_retried_and_its_late_result_changes_nothing(world: World) -> None:
    first = world.claim(world.accepted())
    world.clock.forward(31)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(first) == "queued"
    assert world.tenant().holders == {}
    assert work.finish(world.deps, world.dispatcher, first, work.Ending(outcome=Done({}))) is None
    with pytest.raises(StaleFence):
        work.beat(world.deps, first)
    assert "run.late_result" in world.telemetry.actions()
    world.clock.forward(61)
    sweep.sweep(world.deps, world.dispatcher)
    again = world.finish(first)
    assert again is not None
    assert (again.state, again.attempt) == ("completed", 2)


def test_attempts_are_bounded(world: World) -> None:
    run = world.accepted()
    for _ in range(3):
        world.claim(world.run(run))
        world.clock.forward(31)
        sweep.sweep(world.deps, world.dispatcher)
        world.clock.forward(61)
        sweep.sweep(world.deps, world.dispatcher)
    ended = world.run(run)
    assert (ended.state, ended.attempt) == ("failed", 3)
    assert ended.error is not None
    assert ended.error.code == "WORKER_LOST"


def test_a_retryable_failure_waits_out_its_backoff(world: World) -> None:
    run = world.accepted()
    world.finish(run, RETRYABLE)
    waiting = world.run(run)
    assert (waiting.state, waiting.delayed, waiting.attempt) == ("queued", True, 2)
    assert waiting.not_before is not None
    assert 1_000 <= waiting.not_before - world.clock.ms <= 2_000
    world.clock.forward(3)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "pending"


def test_a_plain_failure_is_final(world: World) -> None:
    run = world.accepted()
    world.finish(run, Failed(code="EXIT_NONZERO", message="exit 3"))
    ended = world.run(run)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.code == "EXIT_NONZERO"


def test_a_worker_that_stops_hands_its_run_back_unused(world: World) -> None:
    claimed = world.claim(world.accepted())
    work.hand_back(world.deps, world.dispatcher, claimed)
    run = world.run(claimed)
    assert (run.state, run.attempt) == ("pending", 1)
    assert run.fence > claimed.fence


def test_what_is_handed_back_under_a_pause_that_drains_is_cancelled(world: World) -> None:
    """A drain lets running runs finish and cancels whoever waits: going back in line it would wait, and start later."""
    claimed = world.claim(world.accepted())
    pause.pause(world.deps, world.dispatcher, "acme", pause.Pause(mode="drain"), world.why())
    work.hand_back(world.deps, world.dispatcher, claimed)
    assert world.run(claimed).state == "cancelled"
    assert world.tenant().waiting == len(world.tenant().holders) == 0


@pytest.mark.parametrize("reach", ["queued", "pending", "running", "completed"])
def test_cancel_works_in_every_state(world: World, reach: str) -> None:
    if reach == "queued":
        holders = [world.accepted(repo="o/n") for _ in range(2)]
        run = world.accepted(repo="o/n")
    else:
        holders = []
        run = world.accepted()
        if reach in ("running", "completed"):
            world.claim(run)
        if reach == "completed":
            world.finish(run)
    after = cancel.cancel(world.deps, world.dispatcher, world.caller(), "acme", run.id)
    assert after.state == ("completed" if reach == "completed" else "cancelled")
    assert set(world.tenant().holders) == {holder.id for holder in holders}


def test_many_events_move_to_chunks_and_stay_in_order(world: World) -> None:
    run = world.accepted()
    for _ in range(20):
        work.hand_back(world.deps, world.dispatcher, world.claim(world.run(run)))
    after = world.run(run)
    assert len(after.events) <= 32
    events = overview.events_of(world.deps, after, 0)
    numbers = [event["seq"] for event in events]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(after.receipts) == 4
