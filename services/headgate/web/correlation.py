"""One id from the request to the child process: what is taken from the caller, and what is made here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headgate.flow.deps import Asking, Ids

REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"
CLOUD_TRACE = "x-cloud-trace-context"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_CLOUD_TRACE = re.compile(r"([0-9a-fA-F]{32})/(\d{1,20})(?:;o=(\d))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Correlation:
    """A request's id and, if it takes part in a trace, its W3C traceparent."""

    request_id: str
    traceparent: str | None = None

    @property
    def asking(self) -> Asking:
        """What the flows get to know of it."""
        return Asking(
            request_id=self.request_id, trace={} if self.traceparent is None else {TRACEPARENT: self.traceparent}
        )

    def replaced(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Request headers (ASGI's) that say exactly this, whatever the caller sent: nobody behind decides again."""
        ours = {REQUEST_ID.encode(), TRACEPARENT.encode(), CLOUD_TRACE.encode()}
        kept = [(name, value) for name, value in headers if name.lower() not in ours]
        kept.append((REQUEST_ID.encode(), self.request_id.encode()))
        if self.traceparent is not None:
            kept.append((TRACEPARENT.encode(), self.traceparent.encode()))
        return kept


def correlation_of(headers: Mapping[str, str], ids: Ids) -> Correlation:
    """The correlation of a request with these headers (names in small letters). A bad id is replaced, a bad trace dropped."""
    given = headers.get(REQUEST_ID, "")
    request_id = given if _REQUEST_ID.fullmatch(given) else ids.new("req")
    return Correlation(request_id, _traceparent(headers) or _from_cloud(headers))


def _traceparent(headers: Mapping[str, str]) -> str | None:
    """https://www.w3.org/TR/trace-context/: version ff and ids of zeros are invalid, later versions may be longer."""
    found = _TRACEPARENT.fullmatch(headers.get(TRACEPARENT, "").strip())
    if found is None or found[1] == "ff" or not found[2].strip("0") or not found[3].strip("0"):
        return None
    if found[1] == "00" and found[5]:
        return None
    return f"00-{found[2]}-{found[3]}-{found[4]}"


def _from_cloud(headers: Mapping[str, str]) -> str | None:
    """`TRACE_ID/SPAN_ID;o=1`: the trace in hexadecimal, the span in decimal."""
    found = _CLOUD_TRACE.fullmatch(headers.get(CLOUD_TRACE, "").strip())
    if found is None or not found[1].strip("0") or not 0 < int(found[2]) < 2**64:
        return None
    return f"00-{found[1].lower()}-{int(found[2]):016x}-{'01' if found[3] == '1' else '00'}"
