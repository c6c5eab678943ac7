"""Times at the edge: RFC 3339 in UTC with milliseconds outside, ms since 1970 inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from headgate.core.line import LATEST

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339(ms: int) -> str:
    """`2026-07-01T12:00:00.000Z`."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> int:
    """The ms since 1970 of a time with a zone, between 1970 and 2200. Raises ValueError saying what is wanted."""
    wanted = ValueError("must be a time between 1970 and 2200 as 2026-07-01T12:00:00Z or with an offset")
    if not _SHAPE.fullmatch(text):
        raise wanted
    try:
        ms = (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):  # the 30th of February; an offset that leaves the calendar
        raise wanted from None
    if not 0 <= ms < LATEST:
        raise wanted
    return ms
