"""Gauges written to a real gRPC server that speaks Cloud Monitoring's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.cloud.monitoring_v3 import CreateTimeSeriesRequest, MetricServiceClient
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport
from google.protobuf.empty_pb2 import Empty

from headgate.outbound.gauges import CloudGauges
from headgate.telemetry.metrics import GAUGES, MODE, SLOTS_IN_USE, Sample
from tests.support.world import Facts

NOW_MS = 1_800_000_000_000


@dataclass
class Monitoring:
    """What was written. `down` = it refuses."""

    down: bool = False
    written: list[CreateTimeSeriesRequest] = field(default_factory=list)

    def create_time_series(self, request: CreateTimeSeriesRequest, context: Any) -> Empty:
        self.written.append(request)
        if self.down:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return Empty()


@pytest.fixture
def monitoring() -> Iterator[tuple[Monitoring, MetricServiceClient]]:
    fake, server = Monitoring(), grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        fake.create_time_series,
        request_deserializer=CreateTimeSeriesRequest.deserialize,
        response_serializer=Empty.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", {"CreateTimeSeries": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    yield fake, MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))
    channel.close()
    server.stop(0).wait()


def test_a_point_each(monitoring: tuple[Monitoring, MetricServiceClient]) -> None:
    fake, client = monitoring
    samples = [Sample(metric=SLOTS_IN_USE, value=7, labels=("kind:git",)), Sample(metric=MODE, value=1)]
    CloudGauges(client, "proj", lambda: NOW_MS, Facts()).write(samples)

    [request] = fake.written
    slots, mode = request.time_series
    assert request.name == "projects/proj"
    assert slots.metric.type == "custom.googleapis.com/headgate/slots_in_use"
    assert dict(slots.metric.labels) == {"scope": "kind:git"}
    assert (slots.resource.type, slots.resource.labels["namespace"]) == ("generic_task", "headgate")
    assert [point.value.double_value for one in (slots, mode) for point in one.points] == [7, 1]
    assert mode.points[0].interval.end_time.timestamp() == NOW_MS / 1000


def test_not_more_series_at_once_than_monitoring_takes(monitoring: tuple[Monitoring, MetricServiceClient]) -> None:
    fake, client = monitoring
    samples = [Sample(metric=SLOTS_IN_USE, value=n, labels=(f"kind:{n}",)) for n in range(450)]
    CloudGauges(client, "proj", lambda: NOW_MS, Facts()).write(samples)
    assert [len(request.time_series) for request in fake.written] == [200, 200, 50]


def test_a_monitoring_that_is_down_is_said_and_stops_nobody(monitoring: tuple[Monitoring, MetricServiceClient]) -> None:
    fake, client = monitoring
    fake.down = True
    facts = Facts()
    CloudGauges(client, "proj", lambda: NOW_MS, facts).write([Sample(metric=GAUGES[0], value=1, labels=("system",))])
    assert facts.actions() == ["monitoring.write_failed"]
