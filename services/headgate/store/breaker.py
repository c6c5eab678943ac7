"""A store that was just found silent is not waited for by everybody: one caller probes, the others are told at once.

Without it every thread of a process spends its whole patience on a store that is known to be away, one after the
other, and the last caller in line waits for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from headgate.core.errors import Unavailable

REST_SECONDS = 0.5
"""How long after a failure nobody asks at all."""


class Breaker:
    """One per process and store. Forgetting it costs one patience per thread."""

    def __init__(self, monotonic: Callable[[], float], patience: float) -> None:
        self._monotonic = monotonic
        self._patience = patience
        self._lock = threading.Lock()
        self._closed_until: float | None = None

    def admit(self) -> None:
        """Raises Unavailable while the store is known to be down, but for one caller at a time who finds out."""
        with self._lock:
            if self._closed_until is None:
                return
            now = self._monotonic()
            if now < self._closed_until:
                raise Unavailable("The store does not answer; this was found out a moment ago.")
            self._closed_until = now + self._patience  # this caller is the probe

    def failed(self) -> None:
        """The store was silent for a whole patience."""
        with self._lock:
            self._closed_until = self._monotonic() + REST_SECONDS

    def answered(self) -> None:
        """The store has answered."""
        with self._lock:
            self._closed_until = None
