"""Facts that many ask for and that may be a little old: read once, kept in this process for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

MOST = 4096


class _Entry(NamedTuple):
    at: float
    value: Any


class Kept:
    """What was read, by what it is and when. Losing it costs reading it again. Thread-safe."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()

    def of(self, key: Hashable, now: float, fresh: float, read: Callable[[T | None], T]) -> T:
        """The value of `key`, not older than `fresh` seconds at `now` (a monotonic clock); `read` is given the last one.

        While one caller reads, others take the older value instead of reading too.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and now - entry.at < fresh:
                known: T = entry.value
                return known
            if entry is not None:
                self._entries[key] = entry._replace(at=now)
        value = read(None if entry is None else entry.value)
        with self._lock:
            self._entries.pop(key, None)  # what is read again moves to the end: the first entry is the oldest
            self._entries[key] = _Entry(now, value)
            if len(self._entries) > MOST:
                del self._entries[next(iter(self._entries))]
        return value
