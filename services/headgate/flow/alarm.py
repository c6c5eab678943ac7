"""The alarm: wakes this process at the moment a delayed run is due or a message must be published again.

Without it everything still happens, at the next sweep. If the process dies, its alarms die with it and the sweep of
another does the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """What flows see of it."""

    def arm(self, seconds: float) -> None:
        """Wake up in so many seconds, or earlier if that was asked before."""


class NoAlarm:
    """For a process without a thread to spare: the sweep is enough."""

    def arm(self, seconds: float) -> None:
        """Nothing happens."""


class AlarmClock:
    """One thread that calls `ring` at the earliest moment asked for; asked moments add up to one call each at most."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._moments: list[float] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self, ring: Callable[[], object]) -> None:
        """Begin; `ring` must not raise."""
        self._thread = threading.Thread(target=self._run, args=(ring,), name="alarm", daemon=True)
        self._thread.start()

    def arm(self, seconds: float) -> None:
        """See Alarm."""
        with self._changed:
            self._moments.append(self._monotonic() + max(0.0, seconds))
            self._changed.notify()

    def stop(self) -> None:
        """End; a ring under way is waited for a moment."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=3)

    def _run(self, ring: Callable[[], object]) -> None:
        while self._wait():
            ring()

    def _wait(self) -> bool:
        """Until a moment has come (True) or it is over (False). Moments that have passed are forgotten together."""
        with self._changed:
            while not self._stopped:
                now = self._monotonic()
                if any(moment <= now for moment in self._moments):
                    self._moments = [moment for moment in self._moments if moment > now]
                    return True
                self._changed.wait(min(self._moments) - now if self._moments else None)
            return False
