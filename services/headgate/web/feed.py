"""A run's events and its output as one sequence: both are numbered from the same series, in the commit that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.errors import InvalidRequest
from headgate.core.run import Run
from headgate.flow.deps import Deps
from headgate.flow.overview import LineView, events_of, output_of
from headgate.web.moments import rfc3339

OUTPUT = "run.log"
LINE = "run.line"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: its number within the run, when (ms), its type and its data. Output is `run.log` with `{"text"}`.

    The number 0 is of what is told and not stored: a stream that goes on later does not repeat it.
    """

    seq: int
    at: int
    type: str
    data: Mapping[str, object]

    def as_json(self) -> dict[str, object]:
        """As an item of the JSON list."""
        return {"seq": self.seq, "at": rfc3339(self.at), "type": self.type, "data": dict(self.data)}

    def as_sse(self) -> bytes:
        """As one server-sent event."""
        data = json.dumps({"at": rfc3339(self.at), **self.data}, separators=(",", ":"))
        id = f"id: {self.seq}\n" if self.seq else ""
        return f"{id}event: {self.type}\ndata: {data}\n\n".encode()


def line_entry(line: LineView, at: int) -> Entry:
    """A queued run's place as it is at that moment (ms): `line` of the run as an event. Told, not stored."""
    wait = line.estimated_wait
    data = {
        "position": line.position,
        "length": line.length,
        "aheadByPriority": line.ahead_by_priority,
        "estimatedWait": None if wait is None else {"p50": wait.p50, "p90": wait.p90},
        "waitingFor": list(line.waiting_for),
        "holders": list(line.holders),
        "asOf": None if line.as_of is None else rfc3339(line.as_of),
    }
    return Entry(0, at, LINE, data)


def worth_telling(before: LineView | None, now: LineView) -> bool:
    """Whether somebody who was told `before` would learn something: a place, a reason, an estimate off by a tenth."""
    if before is None:
        return True
    if (before.position, before.length, before.waiting_for) != (now.position, now.length, now.waiting_for):
        return True
    old, new = before.estimated_wait, now.estimated_wait
    if old is None or new is None:
        return old is not new
    return _moved(old.p50, new.p50) or _moved(old.p90, new.p90)


def _moved(before: float, now: float) -> bool:
    return abs(now - before) > max(1.0, 0.1 * before)


def entries_of(deps: Deps, run: Run, after: int, limit: int | None = None) -> list[Entry]:
    """What happened to `run` after the event numbered `after`, up to the moment at which the run was read; the first
    `limit` of it.

    Output that was stored since then is left for the next look: an event with a lower number may have come with it.
    """
    output = output_of(deps, run, after, limit)
    found = {chunk.seq: Entry(chunk.seq, chunk.at, OUTPUT, {"text": chunk.text}) for chunk in output}
    for event in events_of(deps, run, after):
        data = event["data"]
        assert isinstance(data, dict)
        entry = Entry(int(str(event["seq"])), int(str(event["at"])), str(event["type"]), data)
        found[entry.seq] = entry
    return [found[seq] for seq in sorted(found) if seq <= run.event_seq][:limit]


def sequence_number(text: str, field: str) -> int:
    """The number of `Last-Event-ID` or `?after=`. Raises InvalidRequest."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest(f"{field} must be the number of an event: a whole number, 0 for all.", field=field)
    return int(text)
