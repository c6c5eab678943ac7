"""Views for probes: alive, ready. They need no key and tell nothing of the inside."""

from __future__ import annotations

from headgate.api.exchange import Ask, Reply, View
from headgate.api.models import AliveAnswer, ReadyAnswer
from headgate.core.errors import Unavailable
from headgate.delivery.port import DeliveryDown
from headgate.wiring import System

PATIENCE_SECONDS = 3.0
"""What both checks may take together."""
LEAST_SECONDS = 0.3
RETRY_SECONDS = 5


class HealthViews:
    """`/healthz` and `/readyz`."""

    def __init__(self, system: System) -> None:
        self._deps = system.deps

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {"isAlive": self.alive, "isReady": self.ready}

    def alive(self, ask: Ask) -> Reply:
        """The process answers."""
        return Reply(body=AliveAnswer().as_json())

    def ready(self, ask: Ask) -> Reply:
        """Whether store and delivery would take work now; why not is in the log."""
        started = self._deps.timing.monotonic()
        store = self._store_is_up()
        left = PATIENCE_SECONDS - (self._deps.timing.monotonic() - started)
        up = {"store": store, "delivery": self._delivery_is_up(max(LEAST_SECONDS, left))}
        ready = all(up.values())
        answer = ReadyAnswer(
            status="ready" if ready else "unready", checks={name: "ok" if fine else "down" for name, fine in up.items()}
        )
        if ready:
            return Reply(body=answer.as_json())
        return Reply(status=503, body=answer.as_json(), headers={"Retry-After": str(RETRY_SECONDS)})

    def _store_is_up(self) -> bool:
        try:
            self._deps.store.ping()
        except Unavailable as down:
            self._deps.telemetry.warning("ready.store_down", detail=down.detail)
            return False
        return True

    def _delivery_is_up(self, timeout: float) -> bool:
        try:
            self._deps.delivery.ping(timeout)
        except DeliveryDown as down:
            self._deps.telemetry.warning("ready.delivery_down", detail=str(down))
            return False
        return True
