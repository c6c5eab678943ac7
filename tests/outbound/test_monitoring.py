"""The subscription's backlog, asked of a real gRPC server that speaks Cloud Monitoring's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.cloud.monitoring_v3 import ListTimeSeriesRequest, ListTimeSeriesResponse, MetricServiceClient, TimeSeries
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

from headgate.outbound.monitoring import MonitoredSubscription
from headgate.outbound.surroundings import Backlog
from tests.support.world import Facts

NOW_MS = 1_800_000_000_000


@dataclass
class Monitoring:
    """Points per metric: (seconds ago, value). `down` = it refuses."""

    points: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    down: bool = False
    asked: list[ListTimeSeriesRequest] = field(default_factory=list)

    def list_time_series(self, request: ListTimeSeriesRequest, context: Any) -> ListTimeSeriesResponse:
        self.asked.append(request)
        if self.down:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        metric = request.filter.split('"')[1].rpartition("/")[2]
        points = [
            {"interval": {"end_time": {"seconds": NOW_MS // 1000 - ago}}, "value": {"int64_value": value}}
            for ago, value in self.points.get(metric, [])
        ]
        return ListTimeSeriesResponse(time_series=[TimeSeries(points=points)] if points else [])


@pytest.fixture
def monitoring() -> Iterator[tuple[Monitoring, MetricServiceClient]]:
    fake, server = Monitoring(), grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        fake.list_time_series,
        request_deserializer=ListTimeSeriesRequest.deserialize,
        response_serializer=ListTimeSeriesResponse.serialize,
    )
    service = grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", {"ListTimeSeries": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    yield fake, MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))
    channel.close()
    server.stop(0).wait()


def subscription(client: MetricServiceClient, facts: Facts | None = None) -> MonitoredSubscription:
    return MonitoredSubscription(client, "proj", "runs-push", lambda: NOW_MS, facts or Facts())


def test_the_latest_figures_count(monitoring: tuple[Monitoring, MetricServiceClient]) -> None:
    fake, client = monitoring
    fake.points = {
        "num_undelivered_messages": [(120, 7), (60, 140), (180, 3)],
        "oldest_unacked_message_age": [(60, 31)],
    }
    assert subscription(client).backlog() == Backlog(depth=140, oldest_seconds=31.0)
    assert fake.asked[0].name == "projects/proj"
    assert 'subscription_id = "runs-push"' in fake.asked[0].filter


def test_a_gap_is_unknown_and_not_zero(monitoring: tuple[Monitoring, MetricServiceClient]) -> None:
    assert subscription(monitoring[1]).backlog() is None


def test_a_monitoring_that_is_down_is_said_and_unknown(monitoring: tuple[Monitoring, MetricServiceClient]) -> None:
    fake, client = monitoring
    fake.down = True
    facts = Facts()
    assert subscription(client, facts).backlog() is None
    assert facts.actions() == ["monitoring.unavailable"]
