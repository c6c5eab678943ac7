"""Push bodies of Pub/Sub, wrapped and unwrapped, read strictly and totally: a Message, or Malformed with the reason.

Wrapped is JSON: `{"message": {"data": "<base64>", "attributes": {…}, "messageId": "…"}, "subscription": "…"}`.
Unwrapped, the body is the data itself, and attributes come as bare headers beside `x-goog-pubsub-message-id`.
The data is `{"runId": …, "fence": …}` either way. What is unknown in an envelope is ignored: Google adds to it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from headgate.core import strict_json
from headgate.delivery.port import Message

MAX_BODY = 256 * 1024
"""Bytes. Ours are some hundred; attributes, by Pub/Sub's own limits, at most 125 KiB."""
MAX_FENCE = 2**53
RUN_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
CORRELATION = ("traceparent", "tracestate", "requestId", "tenant", "kind")
"""Attributes worth finding among the bare headers of an unwrapped push."""
UNWRAPPED = "x-goog-pubsub-message-id"


class Malformed(Exception):
    """The body is no message of ours, and never will be: record it and acknowledge it. Its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One push: the message, and what Pub/Sub says of its delivery (for logs only)."""

    message: Message
    message_id: str | None = None
    attempt: int | None = None


def data_of(message: Message) -> bytes:
    """What a message's data is on the wire."""
    return json.dumps({"runId": message.run_id, "fence": message.fence}, separators=(",", ":")).encode()


def parse(body: bytes, headers: Mapping[str, str]) -> Envelope:
    """The push of a request. Raises Malformed, nothing else."""
    if len(body) > MAX_BODY:
        raise Malformed(f"the body has {len(body)} bytes, above {MAX_BODY}")
    names = {name.lower(): value for name, value in headers.items()}
    content = _object(body, "the body")
    if UNWRAPPED in names or "message" not in content:
        return _unwrapped(content, names)
    return _wrapped(content)


def fingerprint(body: bytes, headers: Mapping[str, str]) -> str:
    """The same text at every delivery of one push, malformed or not: made of its `message` (what stands beside it, as
    the number of the delivery, changes), else of its id and the whole body. 32 characters."""
    names = {name.lower(): value for name, value in headers.items()}
    constant = body
    try:
        content = strict_json.parse(body)
        if isinstance(content, dict) and "message" in content:
            constant = json.dumps(content["message"], sort_keys=True).encode()
    except (ValueError, RecursionError):
        pass  # no JSON: the body itself is what comes again
    return sha256(names.get(UNWRAPPED, "").encode() + b"\0" + constant).hexdigest()[:32]


def _wrapped(content: Mapping[str, object]) -> Envelope:
    message = content["message"]
    if not isinstance(message, dict):
        raise Malformed("message is no object")
    message_id = message.get("messageId")
    if not isinstance(message_id, str | None):
        raise Malformed("messageId is no string")
    attempt = content.get("deliveryAttempt")
    return Envelope(
        message=_message(_object(_data(message.get("data")), "data"), _attributes(message.get("attributes"))),
        message_id=message_id,
        attempt=attempt if type(attempt) is int else None,
    )


def _unwrapped(content: Mapping[str, object], headers: Mapping[str, str]) -> Envelope:
    attributes = {name: headers[name.lower()] for name in CORRELATION if name.lower() in headers}
    return Envelope(message=_message(content, attributes), message_id=headers.get(UNWRAPPED))


def _data(text: object) -> bytes:
    if not isinstance(text, str):
        raise Malformed("data is missing" if text is None else "data is no string")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed(f"data is no base64: {error}") from error


def _attributes(given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise Malformed("attributes are no object of strings")
    return given


def _message(data: Mapping[str, object], attributes: Mapping[str, str]) -> Message:
    """A field more in the data is ignored: during a roll-out the publisher may be newer than we are."""
    run_id, fence = data.get("runId"), data.get("fence")
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        raise Malformed("runId is no run's id")
    if type(fence) is not int or not 0 <= fence < MAX_FENCE:  # a bool is an int too
        raise Malformed("fence is no whole number from 0 on")
    return Message(run_id=run_id, fence=fence, attributes=attributes)


def _object(text: bytes, what: str) -> Mapping[str, object]:
    try:
        value = strict_json.parse(text)
    except ValueError as error:
        raise Malformed(f"{what} is no JSON: {error}"[:200]) from error
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no JSON object")
    return value
