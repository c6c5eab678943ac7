"""A run's events and its output as one sequence: both are numbered from the same series, in the commit that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.errors import InvalidRequest
from headgate.core.run import Run
from headgate.flow.deps import Deps
from headgate.flow.overview import events_of, output_of
from headgate.web.moments import rfc3339

OUTPUT = "run.log"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: its number within the run, when (ms), its type and its data. Output is `run.log` with `{"text"}`."""

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
        return f"id: {self.seq}\nevent: {self.type}\ndata: {data}\n\n".encode()


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
