"""Gauges in Cloud Monitoring, as `custom.googleapis.com/headgate/*`. One writer, the sweep: a series takes a point every
few seconds and no more, and a process that serves requests has no CPU between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud.monitoring_v3 import CreateTimeSeriesRequest, TimeSeries

from headgate.telemetry.metrics import Sample
from headgate.telemetry.port import Telemetry

PREFIX: Final = "custom.googleapis.com/headgate/"
_MOST_SERIES: Final = 200
"""That Monitoring takes in one request."""
_TIMEOUT_SECONDS: Final = 10.0


class CloudGauges:
    """Writes samples as points of now. `client` is a google.cloud.monitoring_v3.MetricServiceClient."""

    def __init__(self, client: Any, project: str, wall_ms: Callable[[], int], telemetry: Telemetry) -> None:
        self._client, self._project = client, project
        self._wall_ms, self._telemetry = wall_ms, telemetry

    def write(self, samples: Sequence[Sample]) -> None:
        """One point each. What Monitoring does not take is said and lost: the next sweep has newer ones."""
        interval = {"end_time": {"seconds": self._wall_ms() // 1000}}
        series = [self._series(sample, interval) for sample in samples]
        for part in _parts(series):
            request = CreateTimeSeriesRequest(name=f"projects/{self._project}", time_series=part)
            try:
                self._client.create_time_series(request=request, timeout=_TIMEOUT_SECONDS, retry=None)
            except (GoogleAPICallError, RetryError) as error:
                self._telemetry.warning("monitoring.write_failed", detail=str(error)[:500], series=len(part))

    def _series(self, sample: Sample, interval: dict[str, Any]) -> TimeSeries:
        """The same series whichever process sweeps: there is one sweep, not one an instance."""
        resource = {"project_id": self._project, "location": "global", "namespace": "headgate", "job": "sweep"}
        labels = dict(zip(sample.metric.labels, sample.labels, strict=True))
        return TimeSeries(
            metric={"type": PREFIX + sample.metric.name, "labels": labels},
            resource={"type": "generic_task", "labels": {**resource, "task_id": "sweep"}},
            metric_kind="GAUGE",
            value_type="DOUBLE",
            unit=sample.metric.unit,
            points=[{"interval": interval, "value": {"double_value": float(sample.value)}}],
        )


def _parts(series: Sequence[TimeSeries]) -> Iterator[Sequence[TimeSeries]]:
    return (series[at : at + _MOST_SERIES] for at in range(0, len(series), _MOST_SERIES))
