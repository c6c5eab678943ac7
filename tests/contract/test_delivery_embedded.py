"""The contract on delivery inside one process, and what is its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from headgate.delivery.embedded import EmbeddedDelivery
from headgate.delivery.port import Message
from tests.contract.delivery_contract import PATIENCE, Broker, DeliveryContract, Inbox, T, message


@pytest.fixture
def embedded() -> Iterator[Broker]:
    inbox, delivery = Inbox(), EmbeddedDelivery(4)
    delivery.deliver_to(inbox.take, lambda message, error: pytest.fail(f"{message}: {error}"))
    yield Broker(delivery, inbox)
    delivery.close()


class TestEmbedded(DeliveryContract):
    @pytest.fixture
    def broker(self, embedded: Broker) -> Broker:
        return embedded


def test_what_has_not_begun_is_dropped_at_close():
    """The runs are still pending in the store: the next start publishes them."""
    inbox, delivery = Inbox(), EmbeddedDelivery(1)
    delivery.deliver_to(inbox.take, lambda message, error: None)
    inbox.gate.clear()
    for number in range(3):
        delivery.publish(message(number), T)
    delivery.close()
    inbox.gate.set()
    inbox.await_(message(0))


def test_a_handler_that_fails_is_reported_and_the_next_message_served():
    failed: list[tuple[Message, BaseException]] = []
    inbox, delivery = Inbox(), EmbeddedDelivery(1)

    def handle(one: Message) -> None:
        if one == message(1):
            raise RuntimeError("no")
        inbox.take(one)

    delivery.deliver_to(handle, lambda message, error: failed.append((message, error)))
    delivery.publish(message(1), T)
    delivery.publish(message(2), T)
    inbox.await_(message(2))
    until = time.monotonic() + PATIENCE
    while not failed and time.monotonic() < until:
        time.sleep(0.01)
    assert [(one, str(error)) for one, error in failed] == [(message(1), "no")]
    delivery.close()


def test_what_comes_before_it_knows_whom_to_deliver_to_waits():
    """A start publishes while it cleans up: nothing may begin before it has."""
    inbox, delivery = Inbox(), EmbeddedDelivery(1)
    for number in range(3):
        delivery.publish(message(number), T)
    assert inbox.taken == []
    delivery.deliver_to(inbox.take, lambda message, error: None)
    inbox.await_(message(0), message(1), message(2))
    delivery.close()


def test_it_closes_though_it_never_began():
    before = set(threading.enumerate())
    delivery = EmbeddedDelivery(2)
    delivery.publish(message(), T)
    delivery.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
