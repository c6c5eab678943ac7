"""The broker's backlog as Cloud Monitoring tells it: undelivered messages and the age of the oldest. Production.

Its figures come about two minutes late and have gaps; the latest of the last minutes counts. What cannot be read is
unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud.monitoring_v3 import ListTimeSeriesRequest, TimeInterval

from headgate.outbound.surroundings import Backlog
from headgate.telemetry.port import Telemetry

_METRIC: Final = "pubsub.googleapis.com/subscription/"
_LOOK_BACK_SECONDS: Final = 600
_TIMEOUT_SECONDS: Final = 5.0


class MonitoredSubscription:
    """The backlog of one subscription. `client` is a google.cloud.monitoring_v3.MetricServiceClient."""

    def __init__(
        self, client: Any, project: str, subscription: str, wall_ms: Callable[[], int], telemetry: Telemetry
    ) -> None:
        self._client, self._project, self._subscription = client, project, subscription
        self._wall_ms, self._telemetry = wall_ms, telemetry

    def backlog(self) -> Backlog | None:
        """The latest figures of the last ten minutes. None = Monitoring does not answer, or knows no depth."""
        try:
            depth = self._latest("num_undelivered_messages")
            oldest = self._latest("oldest_unacked_message_age")
        except (GoogleAPICallError, RetryError) as error:
            self._telemetry.warning("monitoring.unavailable", detail=str(error), subscription=self._subscription)
            return None
        return None if depth is None else Backlog(depth=depth, oldest_seconds=float(oldest or 0))

    def _latest(self, metric: str) -> int | None:
        now = self._wall_ms() // 1000
        request = ListTimeSeriesRequest(
            name=f"projects/{self._project}",
            filter=f'metric.type = "{_METRIC}{metric}" AND resource.labels.subscription_id = "{self._subscription}"',
            interval=TimeInterval(start_time={"seconds": now - _LOOK_BACK_SECONDS}, end_time={"seconds": now}),
        )
        series = self._client.list_time_series(request=request, timeout=_TIMEOUT_SECONDS, retry=None)
        points = [point for one in series for point in one.points]
        latest = max(points, key=lambda point: point.interval.end_time.timestamp(), default=None)
        return None if latest is None else int(latest.value.int64_value)
