"""Every kind of write over a network that fails right then: nothing lost, nothing done twice, nobody refused for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from headgate.core.errors import IllegalTransition, Unavailable
from headgate.core.policy import OnLimit
from headgate.core.run import Run
from headgate.core.wide import Control
from headgate.delivery.port import DeliveryDown, Message
from headgate.delivery.pubsub import PubSubDelivery, ensure_topic_and_subscription
from headgate.flow import cancel, fleet, invariants, pause, work
from headgate.flow.pause import Pause
from headgate.handlers.interface import Done, Failed
from headgate.store.documents import AuditRecord, where
from headgate.store.transaction import Tx
from headgate.verify.proxy import Fault, Proxy
from tests.support.network import TENANT, Remote

FAULTS = [fault for fault in Fault if fault is not Fault.NONE]


@pytest.fixture
def proxy(firestore_emulator: str) -> Iterator[Proxy]:
    with Proxy(firestore_emulator) as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_every_write(proxy: Proxy, project_id: str, fault: Fault) -> None:
    remote = Remote(proxy, project_id)
    first = _submits(remote, fault)
    _works(remote, fault, first)
    _switches(remote, fault)
    assert invariants.check(remote.deps).violations == ()
    remote.deps.store.close()


def _submits(remote: Remote, fault: Fault) -> list[Run]:
    """Five start, one waits; each answer is one run, told again by its key."""
    accepted = []
    for number in range(6):
        key = f"key-{number}"
        asked = {"repo": f"o/{number // 2}", "on_limit": OnLimit.QUEUE}
        if number in (0, 5):
            remote.under(fault, lambda key=key, asked=asked: accepted.append(remote.submit(key, **asked)))  # type: ignore[misc]
        else:
            accepted.append(remote.submit(key, **asked))
        again = remote.submit(key, **asked)
        assert (again.run.id, again.replayed) == (accepted[-1].run.id, True)
    assert [answer.status for answer in accepted] == [201] * 5 + [202]
    assert remote.tenant().month_runs == 6
    assert len(_runs(remote)) == 6
    return [answer.run for answer in accepted]


def _works(remote: Remote, fault: Fault, runs: list[Run]) -> None:
    deps = remote.deps
    claimed: list[Run | None] = []
    remote.under(fault, lambda: claimed.append(work.claim(deps, runs[0].id, 0, "w")))
    run = claimed[0]
    assert run is not None, "its own claim was taken for somebody else's"
    assert remote.run(run.id).fence == run.fence == 1
    remote.under(fault, lambda: work.beat(deps, run, "hello\n"))
    assert remote.run(run.id).log_bytes == 6
    ended: list[Run | None] = []
    remote.under(fault, lambda: ended.append(work.finish(deps, remote.dispatcher, run, _done())))
    assert ended[0] is not None, "its own result was taken for a late one"
    _ended_once(remote, run, "completed")
    assert remote.run(runs[5].id).state == "pending"  # the freed slot has gone to who waited
    _retries_and_promotes(remote, fault, runs)


def _retries_and_promotes(remote: Remote, fault: Fault, runs: list[Run]) -> None:
    deps = remote.deps
    run = work.claim(deps, runs[1].id, 0, "w")
    assert run is not None
    failed = work.Ending(outcome=Failed(code="HANDLER_ERROR", message="once more", retryable=True))
    remote.under(fault, lambda: work.finish(deps, remote.dispatcher, run, failed))
    assert (remote.run(run.id).attempt, remote.run(run.id).state) == (2, "queued")
    remote.submit("fill", on_limit=OnLimit.QUEUE)
    waits = remote.submit("waits", on_limit=OnLimit.QUEUE)
    assert waits.status == 202
    remote.under(fault, lambda: _cancel(remote, runs[2]))
    _ended_once(remote, runs[2], "cancelled")
    assert remote.run(waits.run.id).state == "pending"
    last = remote.submit("last", on_limit=OnLimit.QUEUE)
    remote.under(fault, lambda: _cancel(remote, runs[3]), commit=2)  # the second commit is the promotion
    assert remote.run(last.run.id).state == "pending"
    assert remote.run(last.run.id).event_seq == 2  # queued and pending, once each


def _switches(remote: Remote, fault: Fault) -> None:
    deps, dispatcher = remote.deps, remote.dispatcher
    made = 6
    remote.under(fault, lambda: pause.pause(deps, dispatcher, TENANT, Pause(mode="hold"), remote.why()))
    assert remote.tenant().gates["tenant"].state == "paused"
    remote.under(fault, lambda: pause.resume(deps, dispatcher, TENANT, "tenant", remote.why()))
    assert remote.tenant().gates == {}
    for cap in (2, 50):
        remote.under(fault, lambda cap=cap: fleet.set_cap(deps, dispatcher, "system", cap, remote.why()))  # type: ignore[misc]
        assert _control(remote).cap == cap
    for mode in ("draining", "normal"):
        remote.under(fault, lambda mode=mode: fleet.set_mode(deps, dispatcher, mode, remote.why()))  # type: ignore[misc]
        assert _control(remote).mode == mode
    assert len(deps.store.query(AuditRecord, where(AuditRecord))) == made


def test_a_store_that_forgets_its_doubts_is_caught(
    proxy: Proxy, project_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: whoever does not prove a commit whose reply was lost takes its own claim for another's."""
    monkeypatch.setattr(Tx, "settles", lambda self, commit_id, keys: False)
    remote = Remote(proxy, project_id)
    with pytest.raises((AssertionError, IllegalTransition)):
        _works(remote, Fault.DROP_REPLIES, _submits(remote, Fault.DELAY))
    remote.deps.store.close()


@pytest.mark.parametrize("fault", [Fault.DROP_REPLIES, Fault.BLACK_HOLE, Fault.REFUSE])
def test_a_fault_that_lasts_is_told_in_time_and_the_key_makes_it_one_run(
    proxy: Proxy, project_id: str, fault: Fault
) -> None:
    remote = Remote(proxy, project_id)
    remote.backend.seconds = 3.5
    began = time.monotonic()
    with pytest.raises(Unavailable):
        remote.under(fault, lambda: remote.submit("key"))
    assert time.monotonic() - began < 4  # 2.5 of patience; the rest is the test machine's
    time.sleep(1.2)
    run = remote.submit("key").run
    assert [found.id for found in _runs(remote)] == [run.id]
    assert remote.tenant().month_runs == 1
    assert invariants.check(remote.deps).violations == ()
    remote.deps.store.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_publish(pubsub_emulator: str, project_id: str, fault: Fault) -> None:
    """Within its two seconds it is published or DeliveryDown; when the network is back the same client publishes again."""
    with Proxy(pubsub_emulator) as proxy:
        ensure_topic_and_subscription(project_id, "runs", "push", "http://127.0.0.1:9/pubsub", pubsub_emulator)
        delivery = PubSubDelivery(project_id, "runs", proxy.host)
        delivery.publish(Message(run_id="run_1", fence=0), 2.0)
        proxy.set(fault, 0.2)
        began = time.monotonic()
        try:
            delivery.publish(Message(run_id="run_2", fence=0), 2.0)
            assert fault in (Fault.DELAY, Fault.HALF_OPEN)
        except DeliveryDown:
            assert fault is not Fault.DELAY
        assert time.monotonic() - began < 2.5
        proxy.set(Fault.NONE)
        _publishes_within(delivery, 5.0)
        delivery.close()


def _publishes_within(delivery: PubSubDelivery, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            delivery.publish(Message(run_id="run_3", fence=0), 2.0)
            return
        except DeliveryDown:
            assert time.monotonic() < deadline


def _done() -> work.Ending:
    return work.Ending(outcome=Done({"ok": True}))


def _cancel(remote: Remote, run: Run) -> None:
    cancel.cancel_run(remote.deps, TENANT, run.id)
    remote.dispatcher.dispatch()


def _ended_once(remote: Remote, run: Run, state: str) -> None:
    now = remote.run(run.id)
    assert now.state == state
    assert sum(event.type == "run.finished" for event in now.events) == 1
    assert run.id not in remote.tenant().holders


def _control(remote: Remote) -> Control:
    found = remote.deps.store.get(Control, "system")
    assert found is not None
    return found


def _runs(remote: Remote) -> list[Run]:
    return remote.deps.store.query(Run, where(Run, ("tenant", "==", TENANT), order=("created_at",)))
