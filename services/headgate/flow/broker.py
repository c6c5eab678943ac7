"""The broker as submissions see it: while it is known to take no messages nothing is accepted (and what was accepted in
the moment it went away is withdrawn, flow/withdraw.py). One caller a second asks it, the others are told at once.
"""

from __future__ import annotations

import threading

from headgate.core.errors import Code, Unavailable
from headgate.delivery.port import DeliveryDown
from headgate.flow.deps import Deps

PROBE_EVERY = 1.0
PROBE_SECONDS = 0.9
"""A probe, a publish that fails all the same, and the withdrawal must fit into the three seconds of an answer."""
AWAY = "The broker does not take messages; nothing was accepted. Try again."


class BrokerHealth:
    """Whether the broker took the last message. One per process; forgetting it costs one withdrawal."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._lock = threading.Lock()
        self._rests_until: float | None = None

    def taken(self) -> None:
        """It took a message, or said that it would."""
        with self._lock:
            self._rests_until = None

    def failed(self) -> None:
        """It did not; nobody asks it again for a moment."""
        with self._lock:
            self._rests_until = self._deps.timing.monotonic() + PROBE_EVERY

    def require(self) -> None:
        """Raises Unavailable while the broker is known to be down; once in a while one caller finds out anew."""
        if not self._known_down():
            return
        try:
            self._deps.delivery.ping(PROBE_SECONDS)
        except DeliveryDown as down:
            self.failed()
            raise unavailable() from down
        self.taken()

    def _known_down(self) -> bool:
        """Whether this caller must ask before it goes on. Raises Unavailable for those who need not even ask."""
        with self._lock:
            if self._rests_until is None:
                return False
            now = self._deps.timing.monotonic()
            if now < self._rests_until:
                raise unavailable()
            self._rests_until = now + PROBE_EVERY  # this caller is the probe
            return True


def unavailable() -> Unavailable:
    """What a submission is told while the broker is away."""
    return Unavailable(AWAY, code=Code.BROKER_UNAVAILABLE)
