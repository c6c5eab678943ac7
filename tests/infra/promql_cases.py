"""For each PromQL alert: what makes it fire, and what must not. Series by the minute, in promtool's notation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Case(NamedTuple):
    """The alert, whether it must fire, after how many minutes, and what was measured."""

    alert: str
    fires: bool
    at: int
    series: Mapping[str, str]


def gauge(name: str, **labels: str) -> str:
    """A gauge of ours, as PromQL calls it."""
    return f"custom_googleapis_com:headgate_{name}{_labels(labels)}"


def used(scope: str) -> str:
    """Slots in use."""
    return gauge("slots_in_use", scope=scope)


def limit(scope: str) -> str:
    """Slots there are."""
    return gauge("slots_limit", scope=scope)


def counted(name: str, **labels: str) -> str:
    """A counter of ours."""
    return (
        f"logging_googleapis_com:user_headgate_{name}{_labels(labels | {'monitored_resource': 'cloud_run_revision'})}"
    )


def decided(action: str, reason: str = "") -> str:
    """Decisions."""
    return counted("decisions", action=f"run.{action}", reason=reason)


def ended(state: str) -> str:
    """Runs that ended so."""
    return counted("runs_ended", action="run.finished", state=state)


def pushed(response_class: str) -> str:
    """Pushes, by how they were answered."""
    name = "pubsub_googleapis_com:subscription_push_request_count"
    labels = {"monitored_resource": "pubsub_subscription", "subscription_id": "runs-push"}
    return name + _labels(labels | {"response_class": response_class})


def latency(bound: str) -> str:
    """Pushes that took at most so many microseconds."""
    name = "pubsub_googleapis_com:subscription_push_request_latencies_bucket"
    return name + _labels({"monitored_resource": "pubsub_subscription", "subscription_id": "runs-push", "le": bound})


def published(response_class: str) -> str:
    """Publishes, by how they were answered."""
    labels = {"monitored_resource": "pubsub_topic", "topic_id": "runs", "response_class": response_class}
    return "pubsub_googleapis_com:topic_send_request_count" + _labels(labels)


def of_service(metric: str, service: str, **labels: str) -> str:
    """A metric of Cloud Run."""
    base = {"monitored_resource": "cloud_run_revision", "service_name": f"headgate-{service}"}
    return f"run_googleapis_com:{metric}{_labels(base | labels)}"


def firestore(code: str) -> str:
    """Calls to the database, by how they were answered."""
    labels = {
        "monitored_resource": "firestore.googleapis.com/Database",
        "database_id": "headgate",
        "response_code": code,
    }
    return "firestore_googleapis_com:api_request_count" + _labels(labels)


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}" if labels else ""


DRAINING, NORMAL = {gauge("drain_mode"): "1x90"}, {gauge("drain_mode"): "0x90"}
REFUSED = {decided("admitted"): "0+96x90", decided("refused", "USER_LIMIT_QUEUED"): "0+4x90"}

CASES = [
    Case("push_error_ratio", True, 40, {pushed("ack"): "0+94x60", pushed("remote_server_5xx"): "0+6x60"}),
    Case("push_error_ratio", False, 40, {pushed("ack"): "0+96x60", pushed("remote_server_5xx"): "0+4x60"}),
    Case("push_error_ratio", False, 40, {pushed("ack"): "0x60", pushed("remote_server_5xx"): "0x30 1x30"}),
    Case("push_blocked", True, 40, {pushed("remote_server_4xx"): "0+5x60"}),
    Case("push_blocked", True, 40, {pushed("remote_server_4xx"): "0+5x60", of_service("request_count", "worker"): "7x60"}),
    Case("push_blocked", False, 40, {pushed("remote_server_5xx"): "0+5x60", of_service("request_count", "worker"): "0+5x60"}),
    Case("push_blocked", False, 40, {pushed("ack"): "0+50x60"}),
    Case("pushes_refused", True, 40, {counted("pushes_refused"): "0+1x60"}),
    Case("pushes_refused", False, 40, {counted("pushes_refused"): "0x30 1x30"}),
    Case("push_near_deadline", True, 40, {latency("4e+08"): "0+1x60", latency("6e+08"): "0+9x60", latency("+Inf"): "0+9x60"}),
    Case("push_near_deadline", False, 40, {latency("4e+08"): "0+9x60", latency("6e+08"): "0+9x60", latency("+Inf"): "0+9x60"}),
    Case("publish_errors", True, 40, {published("success"): "0+98x60", published("invalid"): "0+2x60"}),
    Case("publish_errors", False, 40, {published("success"): "0+1000x60", published("invalid"): "0+1x60"}),
    Case("dlq_unattended", True, 40, {gauge("oldest_dead_letter_seconds"): "90000x60"}),
    Case("dlq_unattended", False, 40, {gauge("oldest_dead_letter_seconds"): "80000x60"}),
    Case("dlq_forwarding_broken", True, 40, {counted("late_deliveries"): "0x20 1x40"}),
    Case("dlq_forwarding_broken", False, 40, {counted("late_deliveries"): "3x60"}),
    Case("instances_near_max", True, 40, {of_service("container_instance_count", "worker", state="active"): "7x60"}),
    Case("instances_near_max", True, 40, {of_service("container_instance_count", "api", state="active"): "4x60"}),
    Case("instances_near_max", False, 40, {of_service("container_instance_count", "worker", state="active"): "4x60"}),
    Case("instances_near_max", False, 40, {of_service("container_instance_count", "worker", state="idle"): "7x60"}),
    Case("firestore_errors", True, 40, {firestore("OK"): "0+95x60", firestore("UNAVAILABLE"): "0+5x60"}),
    Case("firestore_errors", False, 40, {firestore("OK"): "0+95x60", firestore("NOT_FOUND"): "0+5x60"}),
    Case("firestore_errors", False, 40, {firestore("OK"): "0+1000x60", firestore("UNAVAILABLE"): "0+5x60"}),
    Case("firestore_errors", False, 40, {firestore("OK"): "0x60", firestore("UNAVAILABLE"): "0x60"}),
    Case("firestore_contention", True, 60, {firestore("ABORTED"): "0+120x90"}),
    Case("firestore_contention", False, 60, {firestore("ABORTED"): "0+30x90"}),
    Case("store_errors", True, 40, {counted("store_errors", reason="STORE_CONTENTION"): "0+1x60"}),
    Case("store_errors", False, 40, {counted("store_errors", reason="STORE_CONTENTION"): "0x35 1x30"}),
    Case("monitoring_blind", True, 60, {counted("monitoring_failures", action="monitoring.unavailable"): "0+1x90"}),
    Case("monitoring_blind", False, 60, {counted("monitoring_failures", action="monitoring.unavailable"): "0x50 1x30"}),
    Case("sweep_stalled", True, 40, {gauge("sweep_age_seconds"): "0x20 _x60"}),
    Case("sweep_stalled", False, 28, {gauge("sweep_age_seconds"): "0x20 _x60"}),
    Case("sweep_stalled", False, 40, {gauge("sweep_age_seconds"): "0x60"}),
    Case("slot_drift", True, 40, {gauge("slot_drift"): "1x60"}),
    Case("slot_drift", False, 14, {gauge("slot_drift"): "0x10 1x3 0x50"}),
    Case("slot_drift", False, 40, {gauge("slot_drift"): "0x60"}),
    Case("slot_leaks", True, 60, {counted("leases_reclaimed"): "0+0.1x90"}),
    Case("slot_leaks", False, 60, {counted("leases_reclaimed"): "0x30 1x60"}),
    Case("concurrency_high", True, 40, {used("system"): "45x60", limit("system"): "50x60"}),
    Case("concurrency_high", False, 40, {used("system"): "40x60", limit("system"): "50x60"}),
    Case("concurrency_high", False, 40, {
        used("system"): "5x60", limit("system"): "50x60", used("kind:git"): "5x60", limit("kind:git"): "5x60",
    }),
    Case("repo_dominates", True, 40, {gauge("largest_repo_share"): "0.6x60", gauge("runs", state="queued"): "9x60"}),
    Case("repo_dominates", False, 40, {gauge("largest_repo_share"): "0.6x60", gauge("runs", state="queued"): "0x60"}),
    Case("repo_dominates", False, 40, {gauge("largest_repo_share"): "0.5x60", gauge("runs", state="queued"): "9x60"}),
    Case("tenant_dominates", True, 40, {gauge("largest_tenant_share"): "0.9x60", gauge("runs", state="queued"): "9x60"}),
    Case("tenant_dominates", False, 40, {gauge("largest_tenant_share"): "1x60", gauge("runs", state="queued"): "0x60"}),
    Case("unfair", True, 60, {gauge("fairness_jain"): "0.5x90"}),
    Case("unfair", False, 60, {gauge("fairness_jain"): "0.95x90"}),
    Case("line_nearly_full", True, 40, {gauge("runs", state="queued"): "900x60", gauge("line_limit"): "1000x60"}),
    Case("line_nearly_full", False, 40, {gauge("runs", state="queued"): "100x60", gauge("runs", state="running"): "900x60",
                                         gauge("line_limit"): "1000x60"}),
    Case("run_starving", True, 40, {gauge("oldest_queued_age_seconds"): "1900x60"}),
    Case("run_starving", False, 40, {gauge("oldest_queued_age_seconds"): "1700x60"}),
    Case("pressure_stands", True, 60, {gauge("pressure_state"): "0x10 1x80"}),
    Case("pressure_stands", False, 60, {gauge("pressure_state"): "0x30 2x10 0x3 1x40"}),
    Case("rejection_rate", True, 60, REFUSED | NORMAL),
    Case("rejection_rate", False, 60, REFUSED | DRAINING),
    Case("rejection_rate", False, 60, {decided("admitted"): "0+1x90", decided("refused", "QUEUE_FULL"): "0+1x90"} | NORMAL),
    Case("rejection_rate", False, 60, {decided("admitted"): "0+50x90", decided("refused", "TENANT_PAUSED"): "0+50x90"} | NORMAL),
    Case("rejection_rate", False, 60, {decided("admitted"): "0+1000x90", decided("refused", "QUEUE_FULL"): "0+1x90"} | NORMAL),
    Case("rejection_rate_critical", True, 50, {decided("queued"): "0+80x90", decided("refused", "QUEUE_FULL"): "0+20x90"}),
    Case("rejection_rate_critical", False, 60, REFUSED | NORMAL),
    Case("rejection_rate_critical", False, 60, {decided("refused", "SYSTEM_DRAINING"): "0+90x90"} | DRAINING),
    Case("run_failure_ratio", True, 60, {ended("completed"): "0+9x90", ended("failed"): "0+1x90"}),
    Case("run_failure_ratio", True, 60, {ended("completed"): "0+9x90", ended("timed_out"): "0+1x90"}),
    Case("run_failure_ratio", False, 60, {ended("completed"): "0+98x90", ended("failed"): "0+2x90"}),
    Case("run_failure_ratio", False, 60, {ended("completed"): "0x90", ended("failed"): "0x40 1x50"}),
    Case("drain_active", True, 5, DRAINING),
    Case("drain_active", False, 5, NORMAL),
    Case("drain_too_long", True, 40, {gauge("drain_age_seconds"): "0+60x90"} | DRAINING),
    Case("drain_too_long", False, 20, {gauge("drain_age_seconds"): "0+60x90"} | DRAINING),
    Case("drain_too_long", False, 40, {gauge("drain_age_seconds"): "0+60x90", gauge("drain_mode"): "2x90"}),
    Case("maintenance_left_on", True, 20, {gauge("drain_age_seconds"): "0+60x90", gauge("drain_mode"): "2x90"}),
    Case("maintenance_left_on", False, 20, {gauge("drain_age_seconds"): "0+60x90"} | DRAINING),
    Case("tenant_paused_long", True, 5, {gauge("longest_pause_seconds"): "90000x60"}),
    Case("tenant_paused_long", False, 5, {gauge("longest_pause_seconds"): "80000x60"}),
]  # fmt: skip
