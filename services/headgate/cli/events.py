"""A run's events as they happen: server-sent events, taken up again where they stopped when the connection breaks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from headgate.cli.client import Client
from headgate.cli.exits import Exit, Failure

RECONNECTS = 8
"""Attempts in a row that bring nothing, before a stream is given up: about half a minute."""
FINISHED = "run.finished"
TERMINAL = frozenset({"completed", "failed", "timed_out", "cancelled", "expired"})


class Sleeping(Protocol):
    """The part of the clock that waits."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream: its number as sent, its type, its data."""

    id: str
    type: str
    data: Any


def parse(chunks: Iterable[str]) -> Iterator[Event]:
    """The events in pieces of a stream. What is cut off at the end is no event: it comes again."""
    fields: dict[str, str] = {}
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if "data" in fields:
                yield Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
        elif name == "data" and "data" in fields:
            fields["data"] += "\n" + value
        elif name:
            fields[name] = value


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    """Lines by \\n alone: str.splitlines would also break at characters that JSON may hold."""
    rest = ""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        yield from (line.removesuffix("\r") for line in whole)


def follow(client: Client, run_id: str, timing: Sleeping) -> Iterator[Event]:
    """Every event of the run from its first to its last, each once. Raises Failure when the server stays away."""
    last, fruitless = "", 0
    while True:
        try:
            for event in _once(client, run_id, last):
                last, fruitless = event.id or last, 0
                yield event
                if event.type == FINISHED:
                    return
            if client.get(client.path("runs", run_id))["state"] in TERMINAL:
                return
        except Failure as failed:
            if not _passing(failed) or fruitless >= RECONNECTS:
                raise
        # A stream may end in peace, too: the server restarts, or a proxy has had enough.
        fruitless += 1
        timing.sleep(min(5.0, 0.1 * 2**fruitless))


def _once(client: Client, run_id: str, last: str) -> Iterator[Event]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    with client.stream(client.path("runs", run_id, "events"), headers=headers) as response:
        yield from parse(response.iter_text())


def _passing(failed: Failure) -> bool:
    """Whether the trouble may be over soon: the server is away, or says when to come back."""
    return failed.exit is Exit.UNREACHABLE or failed.document.get("retryAfter") is not None
