"""The contract on Pub/Sub's emulator with a real push subscription, and what is Pub/Sub's own: how it fails."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import pytest
from google.pubsub_v1.types import GetSubscriptionRequest, PublishRequest, PublishResponse, Subscription

from headgate.delivery.port import DeliveryDown, Message
from headgate.delivery.pubsub import PubSubDelivery, ensure_topic_and_subscription
from tests.contract.delivery_contract import Broker, DeliveryContract, Inbox, T, down_in_time, message
from tests.support.emulators import free_port
from tests.support.receiver import receiving

TOPIC, SUBSCRIPTION = "headgate-runs", "headgate-runs-push"
PATH = "/pubsub/push"

emulated = pytest.mark.emulators


def ensure(host: str, project: str, endpoint: str, max_deliveries: int = 10) -> None:
    ensure_topic_and_subscription(project, TOPIC, SUBSCRIPTION, endpoint, host, max_deliveries=max_deliveries)


@pytest.fixture
def pubsub(pubsub_emulator: str, project_id: str) -> Iterator[Broker]:
    inbox = Inbox()

    def take(path: str, message: Message) -> int:
        assert path == PATH
        inbox.take(message)
        return 204

    with receiving(take) as url:
        ensure(pubsub_emulator, project_id, url + PATH)
        with contextlib.closing(PubSubDelivery(project_id, TOPIC, pubsub_emulator)) as delivery:
            yield Broker(delivery, inbox)
            inbox.gate.set()


@emulated
class TestPubSub(DeliveryContract):
    @pytest.fixture
    def broker(self, pubsub: Broker) -> Broker:
        return pubsub


# --- what is sent


@emulated
def test_correlation_that_pubsub_would_refuse_stays_behind(pubsub: Broker):
    """A run must not wait for ever because its caller's trace was too long."""
    odd = {"": "empty name", "n" * 257: "long name", "long": "v" * 1025, "wide": "ü" * 513}
    odd |= {"surrogate": "\ud800", "break": "a\nb", "edge": "v" * 1024, "tenant": "acme"}
    many = {f"a{number}": "x" for number in range(120)}
    pubsub.delivery.publish(message(1, **odd), T)
    pubsub.delivery.publish(message(2, **many), T)
    pubsub.inbox.await_(message(1, edge="v" * 1024, tenant="acme"), message(2, **dict(list(many.items())[:100])))


# --- how it fails


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """It lets one connect and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "refused"])
def test_a_dead_broker_is_down_within_the_timeout(silent: bool):
    with (
        silent_server() if silent else contextlib.nullcontext(f"127.0.0.1:{free_port()}") as host,
        contextlib.closing(PubSubDelivery("nowhere", TOPIC, host)) as delivery,
    ):
        for timeout in (0.2, 1.0):
            down_in_time(timeout, lambda t=timeout: delivery.publish(message(), t))  # type: ignore[misc]
            down_in_time(timeout, lambda t=timeout: delivery.ping(t))  # type: ignore[misc]


def test_a_broker_that_refuses_the_connection_is_not_waited_for():
    """Whoever submits waits for the publish: an outage must not cost it the whole timeout."""
    with contextlib.closing(PubSubDelivery("nowhere", TOPIC, f"127.0.0.1:{free_port()}")) as delivery:
        down_in_time(0.5, lambda: delivery.publish(message(), 2.0))


def test_close_wakes_who_waits_for_a_second_try():
    with silent_server() as host, ThreadPoolExecutor(1) as pool:
        delivery = PubSubDelivery("nowhere", TOPIC, host)
        publishing = pool.submit(delivery.publish, message(), 30.0)
        time.sleep(0.2)
        delivery.close()
        down_in_time(2.0, lambda: publishing.result(timeout=5))


@emulated
def test_a_topic_that_is_not_there_is_down(pubsub_emulator: str, project_id: str):
    with contextlib.closing(PubSubDelivery(project_id, "no-such-topic", pubsub_emulator)) as delivery:
        down_in_time(T, lambda: delivery.publish(message(), T))
        down_in_time(T, lambda: delivery.ping(T))


@dataclass
class ScriptedServer(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers each publish with the next status of its script; OK is an empty answer. Counts the calls."""

    script: Iterator[grpc.StatusCode]
    calls: int = 0
    last: PublishRequest | None = None

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._next)

    def _next(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        self.last = PublishRequest.deserialize(request)
        status = next(self.script)
        if status is not grpc.StatusCode.OK:
            context.abort(status, "as scripted")
        return PublishResponse.serialize(PublishResponse(message_ids=["1"]))


@contextlib.contextmanager
def serving(host: str, *statuses: grpc.StatusCode) -> Iterator[ScriptedServer]:
    """A server at `host` that gives these statuses, the last for ever."""
    handler = ScriptedServer(itertools.chain(statuses, itertools.repeat(statuses[-1])))
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[handler])
        server.add_insecure_port(host)
        server.start()
        yield handler
        server.stop(None).wait()


@contextlib.contextmanager
def scripted(*statuses: grpc.StatusCode) -> Iterator[tuple[PubSubDelivery, ScriptedServer]]:
    """A delivery before such a server."""
    host = f"127.0.0.1:{free_port()}"
    with serving(host, *statuses) as server, contextlib.closing(PubSubDelivery("scripted", TOPIC, host)) as delivery:
        yield delivery, server


S = grpc.StatusCode
HICCUPS = [S.UNAVAILABLE, S.DEADLINE_EXCEEDED, S.INTERNAL, S.UNKNOWN, S.CANCELLED, S.ABORTED]
FINAL = [S.NOT_FOUND, S.PERMISSION_DENIED, S.UNAUTHENTICATED, S.INVALID_ARGUMENT, S.RESOURCE_EXHAUSTED]


@pytest.mark.parametrize("status", HICCUPS)
def test_a_hiccup_is_tried_once_more(status: grpc.StatusCode):
    with scripted(status, S.OK) as (delivery, server):
        delivery.publish(message(), T)
        assert server.calls == 2
    with scripted(status) as (delivery, server):
        down_in_time(T, lambda: delivery.publish(message(), T))
        assert server.calls == 2


@pytest.mark.parametrize("status", FINAL)
def test_what_trying_cannot_mend_is_tried_once(status: grpc.StatusCode):
    with scripted(status) as (delivery, server):
        down_in_time(0.5, lambda: delivery.publish(message(), T))
        assert server.calls == 1


def test_the_wire_has_the_run_its_fence_and_correlation():
    with scripted(S.OK) as (delivery, server):
        delivery.publish(message(3, requestId="req_1"), T)
    assert server.last is not None
    [sent] = server.last.messages
    assert server.last.topic == f"projects/scripted/topics/{TOPIC}"
    assert sent.data == b'{"runId":"run_3","fence":3}'
    assert dict(sent.attributes) == {"requestId": "req_1"}


def test_the_same_client_works_again_soon_after_an_outage():
    """gRPC would by default be waiting by then: it tries after 1, 2.6, 5.2 and 9.3 s."""
    host = f"127.0.0.1:{free_port()}"
    with contextlib.closing(PubSubDelivery("back", TOPIC, host)) as delivery:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            down_in_time(0.2, lambda: delivery.publish(message(), 0.2))
        with serving(host, S.OK):
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                with contextlib.suppress(DeliveryDown):
                    return delivery.publish(message(), 1.0)
            pytest.fail("no answer 1.5 s after the server came back")


# --- the emulator's topics and subscriptions


def subscription(host: str, project: str, name: str = SUBSCRIPTION) -> Subscription:
    with grpc.insecure_channel(host) as channel:
        call = channel.unary_unary(
            "/google.pubsub.v1.Subscriber/GetSubscription", GetSubscriptionRequest.serialize, Subscription.deserialize
        )
        return call(GetSubscriptionRequest(subscription=f"projects/{project}/subscriptions/{name}"), timeout=T)


@emulated
def test_what_the_worker_needs_is_made(pubsub_emulator: str, project_id: str):
    ensure(pubsub_emulator, project_id, "http://127.0.0.1:8080/pubsub/push")
    made = subscription(pubsub_emulator, project_id)
    assert made.topic == f"projects/{project_id}/topics/{TOPIC}"
    assert made.push_config.push_endpoint == "http://127.0.0.1:8080/pubsub/push"
    assert made.ack_deadline_seconds == 600
    assert made.dead_letter_policy.dead_letter_topic == f"projects/{project_id}/topics/{TOPIC}-dead"
    assert made.dead_letter_policy.max_delivery_attempts == 10
    dead = subscription(pubsub_emulator, project_id, f"{SUBSCRIPTION}-dead")
    assert dead.topic == made.dead_letter_policy.dead_letter_topic
    assert dead.push_config.push_endpoint == "http://127.0.0.1:8080/pubsub/dead-letter"


@emulated
def test_making_it_again_changes_the_endpoint_only(pubsub_emulator: str, project_id: str):
    for port in (8080, 8080, 9090):
        ensure(pubsub_emulator, project_id, f"http://127.0.0.1:{port}/pubsub/push")
        made = subscription(pubsub_emulator, project_id)
        assert made.push_config.push_endpoint == f"http://127.0.0.1:{port}/pubsub/push"
        assert made.ack_deadline_seconds == 600
    dead = subscription(pubsub_emulator, project_id, f"{SUBSCRIPTION}-dead")
    assert dead.push_config.push_endpoint == "http://127.0.0.1:9090/pubsub/dead-letter"


@emulated
def test_several_servers_may_start_at_once(pubsub_emulator: str, project_id: str):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ensure(pubsub_emulator, project_id, "http://127.0.0.1:8080/pubsub/push"), range(4)))


def test_no_emulator_is_down():
    with pytest.raises(DeliveryDown):
        ensure(f"127.0.0.1:{free_port()}", "nowhere", "http://127.0.0.1:8080/pubsub/push")


@emulated
@pytest.mark.slow
def test_a_push_not_taken_comes_again_and_at_last_as_a_dead_letter(pubsub_emulator: str, project_id: str):
    """Negative control of the contract as well: what answers 503 is delivered more than once."""
    paths: list[str] = []
    buried = threading.Event()

    def refuse(path: str, taken: Message) -> int:
        paths.append(path)
        assert taken.run_id == "run_1"
        assert correlation(taken.attributes) == {"tenant": "acme"}
        if path == PATH:
            return 503
        buried.set()
        return 204

    with receiving(refuse) as url:
        ensure(pubsub_emulator, project_id, url + PATH, max_deliveries=5)
        with contextlib.closing(PubSubDelivery(project_id, TOPIC, pubsub_emulator)) as delivery:
            delivery.publish(message(tenant="acme"), T)
            assert buried.wait(60)
    assert paths[:5] == [PATH] * 5
    assert paths[5:] == ["/pubsub/dead-letter"]


def correlation(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if not name.startswith("CloudPubSubDeadLetter")}
