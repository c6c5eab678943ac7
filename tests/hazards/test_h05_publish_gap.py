"""H5: the process dies between the commit and the publish. The pending run is its own outbox mark; the relay publishes,
then marks, so it is at-least-once; the fence makes the second copy harmless."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from headgate.core.run import Run
from headgate.delivery.port import Message
from headgate.flow import dispatch, ledger, sweep, work
from headgate.handlers.interface import Done
from tests.support.scenes import (
    Broker,
    Killed,
    another_process,
    ends,
    execute_all,
    mortal_world,
    round_of,
    to_the_end,
    with_broker,
)
from tests.support.world import World


@dataclass
class DeadlyBroker(Broker):
    """Its client dies in the call: before the message is taken, or after."""

    kills: str = ""

    def publish(self, message: Message, timeout: float) -> None:
        if self.kills == "before":
            raise Killed("before the publish")
        super().publish(message, timeout)
        if self.kills == "after":
            raise Killed("after the publish")


def killed_at_publish(world: World, moment: str, act: Callable[[], object]) -> DeadlyBroker:
    """`act` with a process that dies when it publishes."""
    broker = DeadlyBroker(kills=moment)
    object.__setattr__(world.deps, "delivery", broker)
    with pytest.raises(Killed):
        act()
    broker.kills = ""
    return broker


def only_run(world: World) -> Run:
    [run_id] = world.tenant().holders
    return world.run(run_id)


@pytest.mark.parametrize(("moment", "sent"), [("before", 0), ("after", 1)])
def test_killed_at_the_first_publish_the_run_starts_all_the_same(world: World, moment: str, sent: int):
    broker = killed_at_publish(world, moment, world.accepted)
    run = only_run(world)
    assert (run.state, len(broker.messages)) == ("pending", sent)
    round_of(world)
    assert len(broker.messages) == sent + 1
    assert execute_all(world) == 1, "one of the copies starts it"
    assert (world.state(run), ends(world, run)) == ("completed", 1)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_relay_killed_at_its_publish_or_before_its_mark_publishes_again(world: World, moment: str):
    run = world.accepted()
    world.clock.forward(60)
    broker = killed_at_publish(world, moment, lambda: sweep.sweep(world.deps, world.dispatcher))
    round_of(world)
    assert len(broker.messages) == 1 + (moment == "after")
    assert execute_all(world) == 1
    assert ends(world, run) == 1


def test_the_relay_killed_at_its_mark_publishes_again(tmp_path: Path):
    world, store = mortal_world(tmp_path)
    run = world.accepted()
    world.delivery.messages.clear()
    world.clock.forward(60)
    store.dies_before = store.commits
    with pytest.raises(Killed):
        sweep.sweep(world.deps, world.dispatcher)
    store.immortal()
    round_of(world)
    assert [m.run_id for m in world.delivery.messages] == [run.id] * 2
    assert execute_all(world) == 1


def test_two_relays_at_once_start_it_once(world: World):
    run = world.accepted()
    broker, other = with_broker(world), another_process(world)
    object.__setattr__(other.deps, "delivery", broker)
    world.clock.forward(60)
    publish = broker.publish

    def meanwhile(message: Message, timeout: float) -> None:
        broker.publish = publish  # type: ignore[method-assign]
        other.sweep()
        publish(message, timeout)

    broker.publish = meanwhile  # type: ignore[method-assign]
    sweep.sweep(world.deps, world.dispatcher)
    assert [m.run_id for m in broker.messages] == [run.id] * 2
    assert world.run(run).publishes == 2, "counted once"
    assert execute_all(world) == 1
    assert (world.state(run), ends(world, run)) == ("completed", 1)


def test_control_without_the_mark_the_run_waits_for_ever(broken: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger, "publish_wait_ms", lambda publishes, policy: 10**15)
    killed_at_publish(broken, "before", broken.accepted)
    with pytest.raises(AssertionError, match="never end"):
        to_the_end(broken, [only_run(broken)])


def test_control_publishing_before_the_commit_sends_messages_of_runs_that_never_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The other order leaves a gap too: the message is out and the commit fails."""
    world, store = mortal_world(tmp_path)
    holders = [world.accepted(repo="o/r") for _ in range(2)]
    waiting = world.accepted(repo="o/r")
    promote = dispatch._Turn._promote

    def too_early(turn: dispatch._Turn, *rest: object) -> dispatch.Stepped:
        stepped = promote(turn, *rest)  # type: ignore[arg-type]
        assert stepped.run is not None
        world.dispatcher.publish(stepped.run)
        return stepped

    monkeypatch.setattr(dispatch._Turn, "_promote", too_early)
    claimed = world.claim(holders[0])
    world.delivery.messages.clear()
    store.dies_before = store.commits + 1
    with pytest.raises(Killed):
        work.finish(world.deps, world.dispatcher, claimed, work.Ending(outcome=Done({})))
    store.immortal()
    assert [m.run_id for m in world.delivery.messages] == [waiting.id]
    assert world.state(waiting) == "queued"
    assert execute_all(world) == 0, "its message came too early and is gone"
