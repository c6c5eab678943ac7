"""Push requests as Pub/Sub makes them, and as nobody should."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

SUBSCRIPTION = "projects/test/subscriptions/headgate-runs-push"


@dataclass(frozen=True)
class Push:
    """A request's body and headers."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def data(run_id: object = "run_1", fence: object = 0, **more: object) -> bytes:
    return json.dumps({"runId": run_id, "fence": fence, **more}).encode()


def wrapped(content: bytes, attributes: object = None, **more: object) -> Push:
    """As production and emulator both send it; `more` stands beside `message`."""
    message: dict[str, object] = {"data": base64.b64encode(content).decode(), "messageId": "77", "message_id": "77"}
    message |= {"publishTime": "2026-01-02T03:04:05.678Z", "publish_time": "2026-01-02T03:04:05.678Z"}
    if attributes is not None:
        message["attributes"] = attributes
    return as_json({"message": message, "subscription": SUBSCRIPTION, **more})


def unwrapped(content: bytes, **headers: str) -> Push:
    """With write_metadata: ids and attributes are bare headers."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Push(content, {"x-goog-pubsub-message-id": "77", "x-goog-pubsub-subscription-name": SUBSCRIPTION, **names})


def as_json(value: object) -> Push:
    return Push(json.dumps(value).encode(), {"Content-Type": "application/json"})


def message(**fields: object) -> Push:
    """A wrapped push whose message has just these fields."""
    return as_json({"message": fields})


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


GOOD = data()

MALFORMED: dict[str, Push] = {
    "empty": Push(b""),
    "not JSON": Push(b"run_1"),
    "not UTF-8": Push(b"\xff\xfe{}"),
    "a list": Push(b"[]"),
    "null": Push(b"null"),
    "a number": Push(b"7"),
    "cut off": Push(wrapped(GOOD).body[:-3]),
    "nested 100,000 deep": Push(b"[" * 100_000),
    "objects nested 50,000 deep": Push(b'{"message":' * 20_000),
    "NaN": Push(b'{"runId":"run_1","fence":NaN}'),
    "NaN, where nobody looks": Push(b'{"runId":"run_1","fence":0,"more":NaN}'),
    "a key twice": Push(b'{"runId":"run_1","runId":"run_2","fence":0}'),
    "too large": Push(b" " * (256 * 1024) + GOOD),
    "an empty object": Push(b"{}"),
    "message null": as_json({"message": None}),
    "message a list": as_json({"message": [1]}),
    "message a text": as_json({"message": "data"}),
    "no data": message(attributes={"a": "b"}),
    "data a number": message(data=7),
    "data an object": message(data={"runId": "run_1", "fence": 0}),
    "data no base64": message(data="!!!"),
    "data with a foreign character": message(data=encoded(GOOD)[:8] + "!" + encoded(GOOD)[8:]),
    "data cut base64": message(data=encoded(GOOD)[:-1]),
    "data not ASCII": message(data="äöü="),
    "data empty": message(data=""),
    "data no JSON": message(data=encoded(b"run_1")),
    "data no object": message(data=encoded(b'["run_1", 0]')),
    "data not UTF-8": message(data=encoded(b'{"runId":"\xff","fence":0}')),
    "messageId a number": message(data=encoded(GOOD), messageId=7),
    "attributes a list": wrapped(GOOD, ["a"]),
    "attributes a text": wrapped(GOOD, "a=b"),
    "an attribute a number": wrapped(GOOD, {"a": 1}),
    "an attribute null": wrapped(GOOD, {"a": None}),
    "no runId": wrapped(b'{"fence":0}'),
    "no fence": wrapped(b'{"runId":"run_1"}'),
    "runId a number": wrapped(data(1)),
    "runId null": wrapped(data(None)),
    "runId empty": wrapped(data("")),
    "runId begins with a digit": wrapped(data("1run")),
    "runId a path": wrapped(data("run/../../etc")),
    "runId with a line break": wrapped(data("run_1\n")),
    "runId with a NUL": wrapped(data("run_\0")),
    "runId a lone surrogate": wrapped(b'{"runId":"run_\\ud800","fence":0}'),
    "runId in other letters": wrapped(data("rün_1")),
    "runId too long": wrapped(data("r" * 101)),
    "fence a text": wrapped(data(fence="0")),
    "fence true": wrapped(data(fence=True)),
    "fence null": wrapped(data(fence=None)),
    "fence a fraction": wrapped(data(fence=0.5)),
    "fence 1.0": wrapped(data(fence=1.0)),
    "fence negative": wrapped(data(fence=-1)),
    "fence above 2^53": wrapped(data(fence=2**53)),
    "fence of 5,000 digits": wrapped(b'{"runId":"run_1","fence":' + b"9" * 5000 + b"}"),
    "fence infinite": wrapped(b'{"runId":"run_1","fence":1e999}'),
    "unwrapped, an envelope inside": unwrapped(wrapped(GOOD).body),
    "unwrapped, base64": unwrapped(encoded(GOOD).encode()),
    "unwrapped, no fence": unwrapped(b'{"runId":"run_1"}'),
    "unwrapped, a form": Push(b"runId=run_1&fence=0", {"Content-Type": "application/x-www-form-urlencoded"}),
}
"""By what is wrong."""
