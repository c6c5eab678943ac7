"""What every `Delivery` does, whatever it is made of. A subclass brings the fixture `broker`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from headgate.delivery.port import Delivery, DeliveryDown, Message

T = 2.0
PATIENCE = 20.0


def message(number: int = 1, **attributes: str) -> Message:
    return Message(run_id=f"run_{number}", fence=number, attributes=attributes)


@dataclass
class Inbox:
    """Where a delivery delivers to."""

    taken: list[Message] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    """Handlers wait until it is set; it is, unless a test clears it."""

    def __post_init__(self) -> None:
        self.gate.set()

    def take(self, message: Message) -> None:
        assert self.gate.wait(PATIENCE)
        self.taken.append(message)

    def await_(self, *expected: Message) -> None:
        """Until all of these have come (duplicates are allowed); nothing else has."""
        until = time.monotonic() + PATIENCE
        while not all(one in self.taken for one in expected):
            assert time.monotonic() < until, f"of {len(expected)} came {self.taken}"
            time.sleep(0.02)
        assert all(one in expected for one in self.taken)


@dataclass
class Broker:
    """A delivery and the inbox at its other end."""

    delivery: Delivery
    inbox: Inbox


class DeliveryContract:
    """Subclass it and define the fixture `broker`."""

    @pytest.fixture
    def broker(self) -> Any:
        raise NotImplementedError

    def test_a_message_reaches_the_handler_as_it_was_sent(self, broker: Broker):
        sent = message(7, traceparent=f"00-{'a' * 32}-{'b' * 16}-01", requestId="req_1", tenant="acme", kind="git")
        broker.delivery.publish(sent, T)
        broker.inbox.await_(sent)

    def test_a_message_without_attributes_is_one_too(self, broker: Broker):
        broker.delivery.publish(message(), T)
        broker.inbox.await_(message())

    def test_every_message_arrives_whoever_published_it(self, broker: Broker):
        sent = [message(number, tenant=f"t{number}") for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda one: broker.delivery.publish(one, T), sent))
        broker.inbox.await_(*sent)

    def test_publishing_does_not_wait_for_the_handler(self, broker: Broker):
        broker.inbox.gate.clear()
        sent = [message(number) for number in range(5)]
        in_time(T, lambda: publish_all(broker.delivery, sent))
        assert broker.inbox.taken == []
        broker.inbox.gate.set()
        broker.inbox.await_(*sent)

    def test_a_working_broker_answers_a_ping(self, broker: Broker):
        broker.delivery.ping(T)

    @pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
    def test_after_close_nothing_is_taken(self, broker: Broker, used: bool):
        if used:
            broker.delivery.publish(message(), T)
        broker.delivery.close()
        broker.delivery.close()
        down_in_time(0.5, lambda: broker.delivery.publish(message(2), T))
        down_in_time(0.5, lambda: broker.delivery.ping(T))
        assert message(2) not in broker.inbox.taken

    def test_close_under_publishers_is_taken_or_down(self, broker: Broker):
        """Never another error: a submit that races a shutdown is answered all the same."""
        start = threading.Barrier(9)

        def publish(number: int) -> None:
            start.wait()
            for _ in range(20):
                try:
                    broker.delivery.publish(message(number), T)
                except DeliveryDown:
                    return

        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(publish, number) for number in range(8)]
            start.wait()
            time.sleep(0.05)
            broker.delivery.close()
            for result in results:
                result.result(timeout=PATIENCE)


def publish_all(delivery: Delivery, messages: list[Message]) -> None:
    for one in messages:
        delivery.publish(one, T)


def in_time(seconds: float, act: Callable[[], object]) -> None:
    started = time.monotonic()
    act()
    assert time.monotonic() - started < seconds + 0.3


def down_in_time(seconds: float, act: Callable[[], object]) -> None:
    """DeliveryDown within the time."""

    def expect() -> None:
        with pytest.raises(DeliveryDown):
            act()

    in_time(seconds, expect)
