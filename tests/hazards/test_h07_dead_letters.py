"""H7: the broker gives up a message whose run holds slots. The dead letter ends the run and is recorded in one commit;
when the dead letter itself is lost, the sweep publishes again, and after a bounded number of times gives the run up."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.core.leases import publish_wait_ms
from headgate.core.policy import Execution, Policy
from headgate.core.run import Run
from headgate.delivery.port import Message
from headgate.flow import dead_letters, pause, sweep
from headgate.flow.pause import Pause
from headgate.flow.replay import list_letters
from headgate.store.documents import DeadLetter
from tests.support.scenes import (
    SWEEP_SECONDS,
    Killed,
    ends,
    execute_all,
    mortal_world,
    round_of,
    violations,
    with_broker,
)
from tests.support.world import World

BOUND = sum(publish_wait_ms(n, Execution()) for n in range(1, Execution().max_publishes + 1)) / 1000
"""Seconds until a run whose every message is lost has ended, and a sweep for each publish."""


def bury(world: World, run: Run, fence: int | None = None) -> DeadLetter:
    message = Message(run_id=run.id, fence=run.fence if fence is None else fence)
    return dead_letters.bury(world.deps, world.dispatcher, message, '{"runId": …}')


def letters(world: World) -> list[DeadLetter]:
    return list(list_letters(world.deps, {}, 100).letters)


def test_a_dead_letter_three_times_ends_its_run_once(world: World):
    run, waiting = world.accepted(repo="o/r"), None
    world.accepted(repo="o/r")
    waiting = world.accepted(repo="o/r")
    for _ in range(3):
        bury(world, run)
    ended = world.run(run)
    assert ended.error is not None
    assert (ended.state, ended.error.code, ends(world, run)) == ("failed", "DEAD_LETTERED", 1)
    assert world.state(waiting) == "pending", "its slot started the next"
    [letter] = letters(world)
    assert (letter.outcome, letter.count, letter.state, letter.tenant) == ("ended", 3, "open", "acme")
    assert (letter.run, letter.fence, letter.reason) == (run.id, run.fence, "dead_lettered")


def test_a_dead_letter_of_a_run_that_moved_on_is_recorded_and_changes_nothing(world: World):
    done, running, requeued = (world.accepted() for _ in range(3))
    world.finish(done)
    world.claim(running)
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="hold"), world.why())
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    before = [world.run(run) for run in (done, running, requeued)]
    assert [run.state for run in before] == ["completed", "running", "pending"]
    found = [bury(world, run) for run in (done, running, requeued)]
    assert [letter.outcome for letter in found] == ["moved_on"] * 3
    assert [world.run(run) for run in before] == before
    world.finish(running)


def test_a_dead_letter_of_no_run_is_recorded(world: World):
    letter = dead_letters.bury(world.deps, world.dispatcher, Message(run_id="run_nobody", fence=3), "body")
    assert (letter.outcome, letter.tenant, letter.run, letter.fence) == ("unknown", None, "run_nobody", 3)
    assert letters(world) == [letter]


def test_control_without_the_fence_a_dead_letter_ends_a_run_that_moved_on(
    broken: World, monkeypatch: pytest.MonkeyPatch
):
    """The wrong variant knows runs, not attempts: the message of before the pause ends what waits after it."""
    run = broken.accepted()
    pause.pause(broken.deps, broken.dispatcher, "acme", Pause(mode="hold"), broken.why())
    pause.resume(broken.deps, broken.dispatcher, "acme", "tenant", broken.why())
    letter = dead_letters._letter
    now = broken.run(run).fence
    monkeypatch.setattr(
        dead_letters, "_letter", lambda message, *rest: letter(Message(run_id=run.id, fence=now), *rest)
    )
    assert bury(broken, run).outcome == "ended"


@pytest.mark.parametrize("moment", ["dies_before", "dies_after"])
def test_the_record_and_the_end_are_one_commit(tmp_path: Path, moment: str):
    world, store = mortal_world(tmp_path)
    run = world.accepted()
    setattr(store, moment, store.commits)
    with pytest.raises(Killed):
        bury(world, run)
    store.immortal()
    assert (world.state(run), len(letters(world))) == (("pending", 0) if moment == "dies_before" else ("failed", 1))
    again = bury(world, run)  # it was not acknowledged
    assert (again.outcome, world.state(run)) == ("ended", "failed")
    assert violations(world) == []


def test_a_body_is_kept_bounded_and_a_dead_letter_for_thirty_days(world: World):
    dead_letters.quarantine(world.deps, "dl_x", "é" * 100_000, "no JSON")
    [letter] = letters(world)
    assert len(letter.body) == 16 * 1024
    round_of(world, 30 * 24 * 3600 - 1)
    assert len(letters(world)) == 1
    round_of(world, 2)
    assert letters(world) == []


# --- the dead letter itself is lost


def lose_every_message(world: World) -> tuple[Run, float]:
    """A broker that takes messages and delivers none, not even a dead letter: seconds until the run has ended."""
    run, began = world.accepted(), world.clock.ms
    broker = with_broker(world)
    for _ in range(400):
        round_of(world)
        broker.messages.clear()
        if world.state(run) != "pending":
            return run, (world.clock.ms - began) / 1000
    raise AssertionError(f"never ends: published {len(broker.tried)} times more")


def test_a_run_whose_messages_are_all_lost_ends_within_a_bound(world: World):
    run, seconds = lose_every_message(world)
    ended = world.run(run)
    assert ended.error is not None
    assert (ended.state, ended.error.code, ended.publishes) == ("failed", "DEAD_LETTERED", 10)
    assert seconds <= BOUND + 10 * SWEEP_SECONDS
    assert world.tenant().holders == {}
    [letter] = letters(world)
    assert (letter.reason, letter.outcome, letter.run, letter.fence) == ("undelivered", "ended", run.id, run.fence)
    assert execute_all(world) == 0
    bury(world, run)
    assert [one.count for one in letters(world)] == [2], "the lost dead letter, days late"


def test_control_without_a_bound_it_holds_its_slots_for_ever(broken: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dead_letters, "give_up", lambda deps, dispatcher, run: None)
    with pytest.raises(AssertionError, match="never ends"):
        lose_every_message(broken)
    assert len(broken.tenant().holders) == 1


def test_a_dead_broker_costs_no_run_its_publishes(world: World):
    """Hours without a broker: nothing is given up, and when it is back everything starts."""
    runs = [world.accepted() for _ in range(5)]
    broker = with_broker(world)  # their messages are lost with the old one
    broker.dead = True
    for _ in range(300):
        round_of(world)
    assert {(world.state(run), world.run(run).publishes) for run in runs} == {("pending", 1)}
    broker.dead = False
    round_of(world)
    assert execute_all(world) == 5


def test_a_pass_of_the_sweep_asks_a_dead_broker_once(world: World):
    """Each try costs two seconds: fifty overdue runs would cost the sweep a hundred."""
    for _ in range(5):
        world.accepted()
    broker = with_broker(world)
    broker.dead = True
    world.clock.forward(60)
    broker.tried.clear()
    sweep.sweep(world.deps, world.dispatcher)
    assert len(broker.tried) == 1
    sweep.reclaim(world.deps, world.dispatcher, "nobody:")
    assert len(broker.tried) == 2


def test_control_a_pass_that_goes_on_asks_for_every_run(broken: World, monkeypatch: pytest.MonkeyPatch):
    republish = sweep._republish
    monkeypatch.setattr(sweep, "_republish", lambda *args: republish(*args) or True)
    for _ in range(5):
        broken.accepted()
    broker = with_broker(broken)
    broker.dead = True
    broken.clock.forward(60)
    broker.tried.clear()
    sweep.sweep(broken.deps, broken.dispatcher)
    assert len(broker.tried) == 5


def test_publishes_wait_twice_as_long_each_time_and_begin_anew_with_every_promotion(tmp_path: Path):
    policy = Policy(execution=Execution(publish_grace_seconds=10, max_publishes=4))
    world = World(tmp_path, policy)
    run, broker = world.accepted(), with_broker(world)
    seen: list[int] = []
    for second in range(0, 100, 5):
        round_of(world, 5)
        seen += [second + 5] * len(broker.messages)
        broker.messages.clear()
    assert seen == [10, 30, 70]
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="hold"), world.why())
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    assert (world.state(run), world.run(run).publishes) == ("pending", 1)
    assert violations(world) == []
