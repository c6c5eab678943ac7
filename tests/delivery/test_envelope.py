"""Push bodies: what is a message, and that everything else is Malformed, whatever it is."""

from __future__ import annotations

import contextlib
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.delivery.envelope import Envelope, Malformed, data_of, parse
from headgate.delivery.port import Message
from tests.support import pushes
from tests.support.pushes import MALFORMED, Push, as_json, data, encoded, message, unwrapped, wrapped


def parsed(push: Push) -> Envelope:
    return parse(push.body, push.headers)


def envelope(attributes: dict[str, str] | None = None, **facts: Any) -> Envelope:
    return Envelope(message=Message(run_id="run_1", fence=0, attributes=attributes or {}), **facts)


TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "requestId": "req_1"}

GOOD = {
    "wrapped": (wrapped(pushes.GOOD), envelope(message_id="77")),
    "wrapped, with attributes": (wrapped(pushes.GOOD, TRACE), envelope(TRACE, message_id="77")),
    "with its attempt": (wrapped(pushes.GOOD, deliveryAttempt=5), envelope(message_id="77", attempt=5)),
    "with an odd attempt": (wrapped(pushes.GOOD, deliveryAttempt="many"), envelope(message_id="77")),
    "with an ordering key": (message(data=encoded(pushes.GOOD), orderingKey="k"), envelope()),
    "with fields of tomorrow": (wrapped(data(priority=9), {}, more=[1]), envelope(message_id="77")),
    "nothing but data": (message(data=encoded(pushes.GOOD)), envelope()),
    "unwrapped, with metadata": (unwrapped(pushes.GOOD), envelope(message_id="77")),
    "unwrapped, attributes in any case": (
        unwrapped(pushes.GOOD, Traceparent=TRACE["traceparent"], REQUESTID="req_1", Authorization="Bearer x"),
        envelope(TRACE, message_id="77"),
    ),
    "unwrapped, bare": (Push(pushes.GOOD), envelope()),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_pubsub_sends_is_read(name: str):
    push, expected = GOOD[name]
    assert parsed(push) == expected


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_wrong_is_named(name: str):
    with pytest.raises(Malformed) as malformed:
        parsed(MALFORMED[name])
    assert 0 < len(str(malformed.value)) <= 300


def test_what_is_published_is_what_is_read():
    sent = Message(run_id="run_abc", fence=3, attributes={"tenant": "t"})
    assert parsed(wrapped(data_of(sent), dict(sent.attributes))).message == sent


# --- total: whatever comes, an Envelope or Malformed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["data", "message"]), inner),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.sampled_from(["X-Goog-Pubsub-Message-Id", "traceparent"]) | st.text(), st.text())


def total(body: bytes, headers: dict[str, str]) -> None:
    with contextlib.suppress(Malformed):
        read = parse(body, headers).message
        assert read.run_id[0] in string.ascii_letters
        assert read.fence >= 0
        assert all(isinstance(value, str) for value in read.attributes.values())


@given(st.binary(), HEADERS)
def test_any_bytes(body: bytes, headers: dict[str, str]):
    total(body, headers)


@given(JSON, HEADERS)
def test_any_json(value: object, headers: dict[str, str]):
    total(json.dumps(value).encode(), headers)


@given(
    st.fixed_dictionaries({}, optional={"data": JSON | st.text(), "attributes": JSON, "messageId": JSON}),
    st.dictionaries(st.sampled_from(["subscription", "deliveryAttempt"]), JSON),
)
def test_any_message(fields: dict[str, object], beside: dict[str, object]):
    total(as_json({"message": fields, **beside}).body, {})


@given(st.fixed_dictionaries({}, optional={"runId": JSON, "fence": JSON}), JSON)
def test_any_data(content: dict[str, object], attributes: object):
    total(wrapped(json.dumps(content).encode(), attributes).body, {})


@given(st.integers(0, 400), st.binary(min_size=1, max_size=1))
def test_a_byte_changed(place: int, byte: bytes):
    body = wrapped(pushes.GOOD, TRACE).body
    total(body[:place] + byte + body[place + 1 :], {})
