"""`/metrics`: the gauges of the system and the counters of this process, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.api.exchange import Ask, Reply, View
from headgate.api.operation import TEXT, TEXT_SCHEMA, Answer, Operation
from headgate.core.access import Permission
from headgate.core.errors import Unavailable
from headgate.flow import gauges
from headgate.telemetry.exposition import CONTENT_TYPE, exposition
from headgate.telemetry.metrics import Sample
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
        """Every metric that has a value: the gauges have none while the store is away. Without a caller the setting has
        opened it to this machine."""
        if ask.known is not None:
            ask.require(Permission.PLATFORM_READ)
        samples = self._gauges()  # first: what goes wrong with them is counted too
        text = exposition(samples, self._system.counting.counted())
        return Reply(body=text, headers={"Content-Type": CONTENT_TYPE})

    def _gauges(self) -> Sequence[Sample]:
        deps = self._system.deps
        try:
            return gauges.current(deps)
        except Unavailable as away:
            deps.telemetry.warning("metrics.unavailable", reason=str(away.code), detail=away.detail)
            return ()
