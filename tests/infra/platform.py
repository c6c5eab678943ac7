"""Google's own metrics that alerts may speak of: kind, type, resource and labels, as its documentation lists them, and which
aligner fits what. What is not listed here is refused: add it with its documentation at hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headgate.telemetry.metrics import COUNTERS, DISTRIBUTIONS, GAUGES


@dataclass(frozen=True)
class Known:
    """A metric: kind and value type, the type of its resource, every label of both."""

    kind: str
    type: str
    resource: str
    labels: frozenset[str]


_SUBSCRIPTION = ("pubsub_subscription", {"subscription_id", "project_id"})
_TOPIC = ("pubsub_topic", {"topic_id", "project_id"})
_REVISION = ("cloud_run_revision", {"service_name", "revision_name", "location", "configuration_name", "project_id"})
_DATABASE = ("firestore.googleapis.com/Database", {"database_id", "location", "resource_container"})
_UPTIME = ("uptime_url", {"host", "project_id"})


def _known(kind: str, type: str, resource: tuple[str, set[str]], *labels: str) -> Known:
    return Known(kind, type, resource[0], frozenset({*resource[1], *labels}))


GOOGLE: Mapping[str, Known] = {
    "pubsub.googleapis.com/subscription/num_undelivered_messages": _known("GAUGE", "INT64", _SUBSCRIPTION),
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": _known("GAUGE", "INT64", _SUBSCRIPTION),
    "pubsub.googleapis.com/subscription/dead_letter_message_count": _known("DELTA", "INT64", _SUBSCRIPTION),
    "pubsub.googleapis.com/subscription/push_request_count": _known(
        "DELTA", "INT64", _SUBSCRIPTION, "response_class", "response_code", "delivery_type"
    ),
    "pubsub.googleapis.com/subscription/push_request_latencies": _known(
        "DELTA", "DISTRIBUTION", _SUBSCRIPTION, "response_code", "delivery_type"
    ),
    "pubsub.googleapis.com/topic/send_request_count": _known(
        "DELTA", "INT64", _TOPIC, "response_class", "response_code"
    ),
    "run.googleapis.com/request_count": _known("DELTA", "INT64", _REVISION, "response_code", "response_code_class"),
    "run.googleapis.com/container/instance_count": _known("GAUGE", "INT64", _REVISION, "state"),
    "run.googleapis.com/pending_queue/pending_requests": _known("GAUGE", "INT64", _REVISION),
    "firestore.googleapis.com/api/request_count": _known("DELTA", "INT64", _DATABASE, "api_method", "response_code"),
    "monitoring.googleapis.com/uptime_check/check_passed": _known(
        "GAUGE", "BOOL", _UPTIME, "check_id", "checker_location", "checked_resource_id"
    ),
}

_TASK = ("generic_task", {"project_id", "location", "namespace", "job", "task_id"})
OURS: Mapping[str, Known] = {
    **{f"custom.googleapis.com/headgate/{one.name}": _known("GAUGE", "DOUBLE", _TASK, *one.labels) for one in GAUGES},
    **{
        f"logging.googleapis.com/user/headgate_{one.name}": _known("DELTA", "INT64", _REVISION, *one.labels)
        for one in COUNTERS
    },
    **{
        f"logging.googleapis.com/user/headgate_{one.name}": _known("DELTA", "DISTRIBUTION", _REVISION)
        for one in DISTRIBUTIONS
    },
}

METRICS = {**GOOGLE, **OURS}

_NUMBERS = {"ALIGN_MIN", "ALIGN_MAX", "ALIGN_MEAN", "ALIGN_SUM", "ALIGN_STDDEV", "ALIGN_COUNT"}
_PERCENTILES = {f"ALIGN_PERCENTILE_{n}" for n in ("05", "50", "95", "99")}
ALIGNERS: Mapping[tuple[str, str], frozenset[str]] = {
    ("GAUGE", "INT64"): frozenset({*_NUMBERS, "ALIGN_NEXT_OLDER", "ALIGN_INTERPOLATE", "ALIGN_PERCENT_CHANGE"}),
    ("GAUGE", "DOUBLE"): frozenset({*_NUMBERS, "ALIGN_NEXT_OLDER", "ALIGN_INTERPOLATE", "ALIGN_PERCENT_CHANGE"}),
    ("GAUGE", "BOOL"): frozenset(
        {"ALIGN_NEXT_OLDER", "ALIGN_COUNT", "ALIGN_COUNT_TRUE", "ALIGN_COUNT_FALSE", "ALIGN_FRACTION_TRUE"}
    ),
    ("DELTA", "INT64"): frozenset({*_NUMBERS, "ALIGN_DELTA", "ALIGN_RATE", "ALIGN_PERCENT_CHANGE"}),
    ("DELTA", "DISTRIBUTION"): frozenset({"ALIGN_DELTA", "ALIGN_SUM", "ALIGN_COUNT", *_PERCENTILES}),
}


def in_promql(metric: str) -> str:
    """`run.googleapis.com/request_count` gives `run_googleapis_com:request_count`."""
    domain, _, path = metric.partition("/")
    return re.sub(r"\W", "_", domain) + ":" + re.sub(r"\W", "_", path)


PROMQL: Mapping[str, Known] = {
    in_promql(name) + suffix: known
    for name, known in METRICS.items()
    for suffix in (("_bucket", "_sum", "_count") if known.type == "DISTRIBUTION" else ("",))
}
