"""No message is taken: a submission is answered 503 and leaves nothing live behind, its key included; it recovers by
itself. Behind a real server: tests/verify/test_outage.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headgate.core.access import Caller, Role
from headgate.core.errors import Code, Unavailable
from headgate.core.policy import OnLimit
from headgate.core.run import LIVE, Run
from headgate.core.submission import Submission
from headgate.core.tenant import Tenant
from headgate.delivery.port import DeliveryDown, Message
from headgate.flow import invariants, submit, sweep
from headgate.flow.broker import PROBE_EVERY
from headgate.flow.cancel import cancel_run
from headgate.flow.deps import Asking
from headgate.flow.retry import retry
from headgate.flow.submit import Accepted, Answer
from headgate.sources import RandomIds, SystemTiming
from headgate.store.committer import Budget
from headgate.store.documents import IdempotencyRecord, where
from headgate.store.reader import Store
from headgate.store.sqlite import SqliteBackend
from tests.support import scenes
from tests.support.live import Live
from tests.support.scenes import Killed, execute_all, mortal_world, round_of
from tests.support.world import World

CROWD = 50


@dataclass
class Broker(scenes.Broker):
    """Its pings fail with it; `on_dead` happens in the call that fails."""

    pings: int = 0
    on_dead: Callable[[Message], object] = field(default=lambda message: None)

    def publish(self, message: Message, timeout: float) -> None:
        if self.dead:
            self.on_dead(message)
        super().publish(message, timeout)

    def ping(self, timeout: float) -> None:
        self.pings += 1
        if self.dead:
            raise DeliveryDown("dead")


def dead_broker(world: World) -> Broker:
    broker = Broker(dead=True)
    object.__setattr__(world.deps, "delivery", broker)
    return broker


@pytest.fixture
def broker(world: World) -> Iterator[Broker]:
    broker = dead_broker(world)
    yield broker
    broker.dead = False


def turned_away(world: World, key: str | None = None, on_limit: OnLimit | None = None) -> None:
    with pytest.raises(Unavailable) as said:
        world.submit(key=key, on_limit=on_limit)
    assert said.value.code == Code.BROKER_UNAVAILABLE
    assert said.value.retry_after


def count(world: World, *conditions: tuple[str, str, object]) -> int:
    return world.deps.store.count(where(Run, *conditions))


def test_who_finds_it_out_is_withdrawn(world: World, broker: Broker) -> None:
    before = world.tenant()
    turned_away(world, key="k")
    [run] = world.deps.store.query(Run, where(Run))
    assert run.error is not None
    assert (run.state, run.error.code, run.events[-1].type) == ("cancelled", "BROKER_UNAVAILABLE", "run.finished")
    after = world.tenant()
    assert (dict(after.holders), after.month_runs) == ({}, before.month_runs)
    assert list(world.deps.store.every(IdempotencyRecord)) == []


def test_the_others_are_told_at_once_and_nothing_is_stored(world: World, broker: Broker) -> None:
    turned_away(world)
    for _ in range(10):
        turned_away(world, key="k", on_limit=OnLimit.QUEUE)
    assert (len(broker.tried), broker.pings, count(world)) == (1, 0, 1)
    for _ in range(3):
        world.clock.forward(PROBE_EVERY)
        for _ in range(10):
            turned_away(world)
    assert (len(broker.tried), broker.pings, count(world)) == (1, 3, 1)


def test_it_recovers_by_itself_and_the_key_is_free(world: World, broker: Broker) -> None:
    turned_away(world, key="k")
    broker.dead = False
    world.clock.forward(PROBE_EVERY)
    answer = world.submit(key="k")
    assert isinstance(answer, Accepted)
    assert (answer.status, answer.replayed, len(broker.messages)) == (201, False, 1)
    again = world.submit(key="k")
    assert isinstance(again, Accepted)
    assert (again.run.id, again.replayed) == (answer.run.id, True)


def test_a_message_that_is_taken_is_news_too(world: World, broker: Broker) -> None:
    """The sweep publishes what an older outage left: nobody waits for a probe then."""
    broker.dead = False
    pending = world.accepted()
    broker.dead = True
    turned_away(world)
    broker.dead = False
    world.dispatcher.publish(pending)
    assert world.accepted().state == "pending"
    assert broker.pings == 0


def test_who_waits_in_line_stays(world: World, broker: Broker) -> None:
    """A place in line needs no broker."""
    broker.dead = False
    holders = [world.accepted(repo="o/r") for _ in range(2)]
    world.clock.forward(PROBE_EVERY)
    waiting = world.accepted(repo="o/r", on_limit=OnLimit.QUEUE)
    broker.dead = True
    world.finish(holders[0])
    assert world.state(waiting) == "pending"
    broker.dead = False
    round_of(world)
    assert waiting.id in {message.run_id for message in broker.messages}


def test_a_message_that_arrived_all_the_same_stands(world: World, broker: Broker) -> None:
    """The broker's answer was lost, not the message: a worker has the run already."""
    broker.on_dead = lambda message: world.claim(world.run(message.run_id))
    answer = world.submit(key="k")
    assert isinstance(answer, Accepted)
    assert (answer.status, answer.run.state, world.state(answer.run)) == (201, "running", "running")
    assert len(list(world.deps.store.every(IdempotencyRecord))) == 1


def told_twice(world: World, broker: Broker) -> tuple[list[Answer], Run]:
    """The same key once more while the first call still waits for the broker: the answers, and the run then."""
    again: list[Answer] = []
    broker.on_dead = lambda message: again.append(world.submit(key="k"))
    with suppress(Unavailable):  # what the others were told is what counts
        again.append(world.submit(key="k"))
    [run] = world.deps.store.query(Run, where(Run))
    return again, run


def test_who_was_told_of_a_run_by_its_key_has_it(world: World, broker: Broker) -> None:
    answers, run = told_twice(world, broker)
    assert ([type(answer) for answer in answers], run.state) == ([Accepted, Accepted], "pending")
    broker.dead = False
    round_of(world)
    assert execute_all(world) == 1


def test_control_without_the_pin_an_accepted_run_is_withdrawn(broken: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "pin", lambda deps, run: run)
    answers, run = told_twice(broken, dead_broker(broken))
    assert ([type(answer) for answer in answers], run.state) == ([Accepted], "cancelled")


def test_a_message_that_arrives_after_the_withdrawal_starts_nothing(world: World, broker: Broker) -> None:
    broker.on_dead = broker.messages.append
    turned_away(world)
    assert len(broker.messages) == 1
    assert execute_all(world) == 0


def test_a_retry_may_be_tried_again(world: World, broker: Broker) -> None:
    """Its id follows from the old run's, so what is withdrawn must not stand in its way."""
    broker.dead = False
    old = cancel_run(world.deps, "acme", world.accepted().id)
    broker.dead = True
    with pytest.raises(Unavailable):
        retry(world.deps, world.submitter, world.caller(), "acme", old.id, Asking())
    broker.dead = False
    world.clock.forward(PROBE_EVERY)
    answer = retry(world.deps, world.submitter, world.caller(), "acme", old.id, Asking())
    assert isinstance(answer, Accepted)
    assert (answer.run.state, answer.replayed) == ("pending", False)


def test_a_death_before_the_withdrawal_leaves_a_pending_run_that_is_published(tmp_path: Path) -> None:
    world, store = mortal_world(tmp_path)
    broker = dead_broker(world)
    store.dies_before = store.commits + 1
    with pytest.raises(Killed):
        world.submit(key="k")
    store.immortal()
    [run] = world.deps.store.query(Run, where(Run))
    assert run.state == "pending"
    broker.dead = False
    round_of(world)
    assert execute_all(world) == 1
    assert world.state(run) == "completed"
    assert invariants.check(world.deps).violations == ()


# --- a crowd


@pytest.fixture
def crowd(tmp_path: Path) -> Live:
    timing, ids = SystemTiming(), RandomIds()
    store = Store(SqliteBackend(str(tmp_path / "store.db"), "normal", timing.wall_ms), timing, ids.commit, Budget())
    live = Live(store)
    live.prepare(acme="enterprise")
    object.__setattr__(live.deps, "delivery", Broker(dead=True))
    return live


def outcomes(live: Live) -> set[str]:
    caller = Caller(credential="k", role=Role.OWNER, tenant="acme")

    def one(number: int) -> str:
        try:
            live.submitter.submit(caller, "acme", Submission(kind="command"), Asking(), f"key-{number % 10}")
        except Unavailable as down:
            return str(down.code)
        return "accepted"

    with ThreadPoolExecutor(CROWD) as pool:
        return set(pool.map(one, range(CROWD)))


def left(live: Live) -> tuple[int, int]:
    """Live runs, and slots held."""
    tenant = live.deps.store.get(Tenant, "acme")
    assert tenant is not None
    return live.deps.store.count(where(Run, ("state", "in", sorted(LIVE)))), len(tenant.holders)


def test_a_crowd_leaves_no_live_run_and_no_slot(crowd: Live) -> None:
    outcomes(crowd)
    assert outcomes(crowd) == {"BROKER_UNAVAILABLE"}
    sweep.sweep(crowd.deps, crowd.dispatcher)
    assert left(crowd) == (0, 0)
    assert invariants.check(crowd.deps).violations == ()


def test_control_without_the_withdrawal_slots_stay_held(crowd: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "withdraw", lambda deps, run, key: None)
    outcomes(crowd)
    runs, slots = left(crowd)
    assert runs == slots > 0
