"""`/metrics`: the gauges of the system and the counters of this process, as Prometheus reads them."""

from __future__ import annotations

from headgate.api.exchange import Ask, Reply, View
from headgate.api.operation import TEXT, TEXT_SCHEMA, Answer, Operation
from headgate.core.access import Permission
from headgate.flow import gauges
from headgate.telemetry.exposition import CONTENT_TYPE, exposition
from headgate.wiring import System

METRICS_PATH = "/metrics"

METRICS = (
    Operation(
        method="GET",
        path=METRICS_PATH,
        name="getMetrics",
        summary="Metrics in Prometheus's text format (operators; HEADGATE_METRICS=local opens it to this machine)",
        answers={200: Answer(means="gauges of the system, counters of this process", content={TEXT: TEXT_SCHEMA})},
    ),
)


class MetricsViews:
    """`/metrics`."""

    def __init__(self, system: System) -> None:
        self._system = system

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {"getMetrics": self.metrics}

    def metrics(self, ask: Ask) -> Reply:
        """Every metric that has a value. Without a caller the setting has opened it to this machine."""
        if ask.known is not None:
            ask.require(Permission.PLATFORM_READ)
        text = exposition(gauges.current(self._system.deps), self._system.counting.counted())
        return Reply(body=text, headers={"Content-Type": CONTENT_TYPE})
