"""Delivery by Pub/Sub: one Publish RPC a message, with a deadline and one more try.

The client library's own batching and its retries of up to ten minutes are left out: who publishes waits for the
answer, and a run whose message was not taken is still pending, so the sweep publishes it again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import urljoin

import grpc
from google.api_core import exceptions as errors
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from headgate.delivery.envelope import data_of
from headgate.delivery.port import DeliveryDown, Message

TRANSIENT = (
    errors.ServiceUnavailable,
    errors.GatewayTimeout,  # DEADLINE_EXCEEDED is one
    errors.InternalServerError,
    errors.Unknown,
    errors.Cancelled,
    errors.Aborted,
)
"""Worth one more try: doubling a message is harmless."""

SHARES = (0.6, 0.3)
"""Of the caller's time for the first and for the second try; the rest is the pause between them."""

CHANNEL_OPTIONS = (
    # After an outage the same channel works again within about a second, instead of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # in truth how long one attempt to connect may take
    # A connection that died without a word is noticed by the calls on it, not by TCP after a quarter of an hour.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)

# Pub/Sub's limits of attributes. A message above them would be refused for ever, and its run never start.
MOST_ATTRIBUTES = 100
NAME_BYTES = 256
VALUE_BYTES = 1024

ACK_SECONDS = 600
"""The most there is: it is the time a push may take, and so a run inside it."""
RETRY_POLICY = {"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 10}}
"""Of a push that was not acknowledged."""


class PubSubDelivery:
    """`Delivery` by a Pub/Sub topic. The channel is made at the first call: gRPC does not survive a fork.

    With `emulator_host` (`host:port`) it speaks to an emulator, without encryption and credentials.
    """

    def __init__(self, project: str, topic: str, emulator_host: str | None) -> None:
        self._topic = f"projects/{project}/topics/{topic}"
        self._emulator_host = emulator_host
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._client: PublisherClient | None = None

    def publish(self, message: Message, timeout: float) -> None:
        """See Delivery."""
        wire = {"data": data_of(message), "attributes": _fitting(message.attributes)}
        request = {"topic": self._topic, "messages": [wire]}
        self._try_twice(lambda client, rest: client.publish(request, timeout=rest, retry=None), timeout)

    def ping(self, timeout: float) -> None:
        """See Delivery. Asks for the topic, so in production the account needs pubsub.topics.get."""
        request = {"topic": self._topic}
        self._try_twice(lambda client, rest: client.get_topic(request, timeout=rest, retry=None), timeout)

    def close(self) -> None:
        """See Delivery."""
        self._closed.set()
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.transport.close()  # type: ignore[no-untyped-call]  # the library's

    def _try_twice(self, call: Callable[[PublisherClient, float], object], timeout: float) -> None:
        """Within `timeout` seconds: done, or DeliveryDown. What cannot get better by trying is tried once."""
        problem: Exception | None = None
        for share in SHARES:
            if problem is not None:
                self._closed.wait(timeout * (1 - sum(SHARES)))
            try:
                call(self._connected(), timeout * share)
                return
            except TRANSIENT as transient:
                problem = transient
            except (errors.GoogleAPICallError, GoogleAuthError) as final:
                raise DeliveryDown(_said(final)) from final
            except ValueError as error:  # grpc's word for a channel that was closed under the call
                if not self._closed.is_set():
                    raise
                raise DeliveryDown("this process is stopping") from error
        raise DeliveryDown(_said(problem)) from problem

    def _connected(self) -> PublisherClient:
        with self._lock:
            if self._closed.is_set():
                raise DeliveryDown("this process is stopping")
            if self._client is None:
                self._client = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel()))
            return self._client

    def _channel(self) -> grpc.Channel:
        if self._emulator_host:
            return grpc.insecure_channel(self._emulator_host, options=CHANNEL_OPTIONS)
        return PublisherGrpcTransport.create_channel(options=CHANNEL_OPTIONS)


def _fitting(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes that Pub/Sub takes. Correlation is a courtesy: what does not fit stays behind."""
    fitting = [(name, value) for name, value in attributes.items() if _fits(name, value)]
    return dict(fitting[:MOST_ATTRIBUTES])


def _fits(name: str, value: str) -> bool:
    if not name.isprintable() or not value.isprintable():  # nor are lone surrogates, which have no bytes
        return False
    return 0 < len(name.encode()) <= NAME_BYTES and len(value.encode()) <= VALUE_BYTES


def _said(problem: Exception | None) -> str:
    return f"Pub/Sub: {problem}"[:500]


# --- the emulator's topics and subscriptions; in production they are infra/pubsub.tf's


def ensure_topic_and_subscription(
    project: str,
    topic: str,
    subscription: str,
    push_endpoint: str,
    emulator_host: str,
    *,
    max_deliveries: int = 10,
    timeout: float = 10.0,
) -> None:
    """Make on an emulator what the worker needs, unless it is there; an endpoint that differs is changed.

    `topic` pushes to `push_endpoint`; after `max_deliveries` (5 to 100) a message goes to the topic `<topic>-dead`, which
    pushes to `dead-letter` beside that endpoint. `timeout`: seconds for each call. Raises DeliveryDown. Dying in the
    middle leaves less than all of it; the next start makes the rest.
    """
    with _Emulator(project, emulator_host, timeout) as emulator:
        dead = f"{topic}-dead"
        emulator.topic(dead)
        emulator.subscription(f"{subscription}-dead", dead, urljoin(push_endpoint, "dead-letter"))
        emulator.topic(topic)
        policy = {"dead_letter_topic": emulator.name("topics", dead), "max_delivery_attempts": max_deliveries}
        emulator.subscription(subscription, topic, push_endpoint, policy)


class _Emulator:
    """An emulator's topics and subscriptions, made unless they are there."""

    def __init__(self, project: str, host: str, timeout: float) -> None:
        self._project = project
        self._channel = grpc.insecure_channel(host, options=CHANNEL_OPTIONS)
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self._subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))
        self._call: dict[str, Any] = {"timeout": timeout, "retry": None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        self._channel.close()
        if isinstance(problem, errors.GoogleAPICallError):
            raise DeliveryDown(_said(problem)) from problem

    def name(self, what: str, id: str) -> str:
        """The full name of one of the project's `topics` or `subscriptions`."""
        return f"projects/{self._project}/{what}/{id}"

    def topic(self, id: str) -> None:
        """The topic exists."""
        with contextlib.suppress(errors.AlreadyExists):
            self._publisher.create_topic({"name": self.name("topics", id)}, **self._call)

    def subscription(
        self, id: str, topic: str, endpoint: str, dead_letters: Mapping[str, object] | None = None
    ) -> None:
        """The topic is pushed to the endpoint. Whatever else an older subscription has, it keeps."""
        name, push = self.name("subscriptions", id), {"push_endpoint": endpoint}
        wanted: dict[str, object] = {"name": name, "topic": self.name("topics", topic), "push_config": push}
        wanted |= {
            "ack_deadline_seconds": ACK_SECONDS,
            "retry_policy": RETRY_POLICY,
            "dead_letter_policy": dead_letters,
        }
        try:
            self._subscriber.create_subscription(wanted, **self._call)
        except errors.AlreadyExists:
            found = self._subscriber.get_subscription({"subscription": name}, **self._call)
            if found.push_config.push_endpoint != endpoint:
                self._subscriber.modify_push_config({"subscription": name, "push_config": push}, **self._call)
