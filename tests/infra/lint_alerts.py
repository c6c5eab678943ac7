"""Rules for the alerts. Each gives one sentence for each thing that is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from headgate.core.errors import Code
from headgate.core.policy import Policy
from headgate.telemetry import metrics
from tests.infra.metrics_file import rendered
from tests.infra.platform import ALIGNERS, METRICS, OURS, PROMQL, Known, in_promql
from tests.infra.reading import Infra

SEEDS = {
    "queue_depth_warning": ("num_undelivered_messages", "queue_depth_threshold", "WARNING", "300s"),
    "queue_depth_critical": ("num_undelivered_messages", "queue_depth_critical_threshold", "CRITICAL", "300s"),
    "queue_age_warning": ("oldest_unacked_message_age", "queue_age_seconds", "WARNING", "60s"),
}
"""What was asked for by name: metric, variable of the threshold, severity, how long."""

ASKED_FOR = {
    "line_nearly_full", "run_starving", "rejection_rate", "drain_active", "drain_too_long", "tenant_paused_long", "slot_drift",
    "slot_leaks", "sweep_stalled", "dlq_forwarded", "dlq_unattended", "dlq_forwarding_broken", "push_blocked", "unfair",
    "start_slo_fast", "firestore_errors", "firestore_contention", "concurrency_high", "repo_dominates", "run_failure_ratio",
    "api_slo_fast", "api_slo_slow", "api_slo_drift", "message_loss_risk", "push_error_ratio", "api_unreachable",
}  # fmt: skip
"""Alerts that may be changed and not dropped."""

NOT_ALERTED = {
    "promotions", "runs_retried", "redeliveries", "publish_failures", "requests_limited", "dead_letters", "drain_seconds",
    "paused_scopes", "drain_runs_left", "dead_letters_open",
}  # fmt: skip
"""Metrics that explain and wake nobody."""

_SELECTOR = re.compile(r"(\w+_googleapis_com:\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
_METRIC_TYPE = re.compile(r'metric\.type = "([^"]+)"')
_RESOURCE_TYPE = re.compile(r'resource\.type = "([^"]+)"')
_FILTER_LABEL = re.compile(r"(?:metric|resource)\.labels\.(\w+)")


def ids_are_unique_and_seeds_stand(infra: Infra) -> Iterator[str]:
    for id, times in Counter(entry["id"] for entry in infra.alerts).items():
        if times > 1:
            yield f"{id} is there {times} times"
    yield from (f"{id} is missing" for id in sorted(ASKED_FOR - {entry["id"] for entry in infra.alerts}))
    raw = {entry["id"]: entry for entry in infra.entries}
    for id, (metric, variable, severity, duration) in SEEDS.items():
        entry = raw.get(id, {})
        [condition] = entry.get("conditions", [{}])
        stands = condition.get("threshold") == f"${{{variable}}}" and metric in condition.get("filter", "")
        stands = stands and "${push_subscription}" in condition["filter"] and condition["period"] == "60s"
        stands = stands and condition["aligner"] == ("ALIGN_MAX" if "age" in id else "ALIGN_MEAN")
        if not stands or entry["severity"] != severity or entry["for"] != duration:
            yield f"{id} is not as it was given"


def thresholds_come_from_variables(infra: Infra) -> Iterator[str]:
    """A number that may need tuning is not typed into the catalogue: 0 and 1 are none, nor are an SLO's factors."""
    for entry in infra.entries:
        for condition in entry.get("conditions", []):
            if condition["threshold"] not in (0, 1) and not str(condition["threshold"]).startswith("${"):
                yield f"{entry['id']}: the threshold {condition['threshold']} is no variable"


def variables_of_thresholds_are_used(infra: Infra) -> Iterator[str]:
    text = infra.texts["alerts/catalogue.yaml"] + infra.texts["slo.tf"]
    for name in infra.defaults["thresholds"]:
        if f"${{{name}}}" not in text and f"var.thresholds.{name}" not in text:
            yield f"thresholds.{name} is used nowhere"


def metrics_are_known(infra: Infra) -> Iterator[str]:
    """Name, resource and labels, of Google's metrics and of ours."""
    for entry in infra.alerts:
        for condition in entry.get("conditions", []):
            yield from (f"{entry['id']}: {said}" for said in _filter(condition["filter"]))
        for name, matchers in _SELECTOR.findall(entry.get("query", "")):
            yield from (f"{entry['id']}: {said}" for said in _selector(name, matchers))
    for text in infra.resource("google_monitoring_slo", "objective").texts():
        for table, one in re.findall(r'google_logging_metric\.(\w+)\["(\w+)"\]', text):
            known = OURS.get(f"logging.googleapis.com/user/headgate_{one}")
            if known is None or (known.type == "DISTRIBUTION") != (table == "distribution"):
                yield f"slo: there is no {table} {one}"


def _filter(text: str) -> Iterator[str]:
    metric, resource = _METRIC_TYPE.search(text), _RESOURCE_TYPE.search(text)
    if metric is None or resource is None:
        yield "a filter names metric.type and resource.type"
        return
    known = METRICS.get(metric[1])
    if known is None:
        yield f"there is no metric {metric[1]}"
    elif known.resource != resource[1]:
        yield f"{metric[1]} is of {known.resource}, not of {resource[1]}"
    else:
        yield from (f"{metric[1]} has no label {label}" for label in set(_FILTER_LABEL.findall(text)) - known.labels)


def _selector(name: str, text: str) -> Iterator[str]:
    known, matchers = PROMQL.get(name), _MATCHER.findall(text)
    if known is None:
        yield f"there is no metric {name}"
        return
    for label, _, value in matchers:
        if label == "monitored_resource" and value != known.resource:
            yield f"{name} is of {known.resource}, not of {value}"
        elif label not in {*known.labels, "monitored_resource"}:
            yield f"{name} has no label {label}"
        else:
            yield from _values(name, known, label, value)


def _values(name: str, known: Known, label: str, value: str) -> Iterator[str]:
    """Values of our own labels are words that the code says."""
    if name.startswith("logging_googleapis_com:") and label in known.labels:
        words = {*Code, *_STATES, *(a for c in metrics.COUNTERS for a in c.actions if name.endswith(f"_{c.name}"))}
        if label in ("action", "reason", "state"):
            yield from (f"{name}: {label} is never {word}" for word in value.split("|") if word not in words)


_STATES = ("completed", "failed", "timed_out")


def aligners_are_legal(infra: Infra) -> Iterator[str]:
    for entry in infra.alerts:
        for condition in entry.get("conditions", []):
            metric = _METRIC_TYPE.search(condition["filter"])
            known = METRICS.get(metric[1]) if metric else None
            if known is not None and condition["aligner"] not in ALIGNERS[known.kind, known.type]:
                yield f"{entry['id']}: {condition['aligner']} does not fit {known.kind} {known.type}"


def rates_are_per_second(infra: Infra) -> Iterator[str]:
    """ALIGN_RATE gives so many a second: a threshold of 5 is then no 5 %, and no 5 a minute."""
    for entry in infra.alerts:
        for condition in entry.get("conditions", []):
            if condition["aligner"] == "ALIGN_RATE" and condition["threshold"] >= 1:
                yield f"{entry['id']}: ALIGN_RATE above {condition['threshold']} means so many a second"


def shares_are_ratios(infra: Infra) -> Iterator[str]:
    """What is held against a share is one thing divided by another, or a metric that is a share itself."""
    for entry in infra.entries:
        query = entry.get("query", "")
        for found in re.finditer(r"[<>]=?\s*\$\{(\w+_share)\}", query):
            left = re.split(r"\b(?:and|or|unless)\b", query[: found.start()])[-1]
            absolute = re.search(r"[<>]=?\s*\$\{\w+_share\}\s*\*", query)
            if " / " not in left and not re.search(r"_share\W", left) and not absolute:
                yield f"{entry['id']}: {found[1]} is a share, what is compared with it is no ratio"
        for condition in entry.get("conditions", []):
            if re.fullmatch(r"\$\{\w+_share\}", str(condition["threshold"])):
                yield f"{entry['id']}: {condition['threshold']} is a share, the metric is none"


def ratios_have_traffic(infra: Infra) -> Iterator[str]:
    """A ratio of runs or decisions says nothing of one in two: it needs a least number."""
    for entry in infra.entries:
        query = entry.get("query", "")
        if "user_headgate_" in query and " / " in query and "_at_least}" not in query:
            yield f"{entry['id']}: a ratio of few things wakes people for nothing; add a least number"


def times_are_what_the_api_takes(infra: Infra) -> Iterator[str]:
    for entry in infra.alerts:
        if int(entry["for"].removesuffix("s")) % 60:
            yield f"{entry['id']}: for is whole minutes"
        for condition in entry.get("conditions", []):
            period = int(condition["period"].removesuffix("s"))
            if period < 60 or period % 60:
                yield f"{entry['id']}: a period is whole minutes"
    for block in infra.resource("google_monitoring_alert_policy", "alert").below("condition_prometheus_query_language"):
        if int(block["evaluation_interval"].strip('"').removesuffix("s") or 0) % 30:
            yield "evaluation_interval is a multiple of 30 s"


def our_metrics_are_asked_for_by_promql(infra: Infra) -> Iterator[str]:
    """In a fresh project a threshold on a metric that was never written is refused; absence fires on every idle service."""
    policy = infra.resource("google_monitoring_alert_policy", "alert")
    for entry in infra.alerts:
        for condition in entry.get("conditions", []):
            if "custom.googleapis.com" in condition["filter"] or "logging.googleapis.com/user" in condition["filter"]:
                yield f"{entry['id']}: a metric of ours needs kind promql"
    if any(
        block["disable_metric_validation"] != "true" for block in policy.below("condition_prometheus_query_language")
    ):
        yield "disable_metric_validation must be true: our metrics are unknown for some minutes in a fresh project"
    for word in ("condition_absent", "condition_monitoring_query_language"):
        if list(policy.below(word)):
            yield f"{word} is not used"
    for entry in infra.alerts:
        if "absent" in entry.get("query", "") and "sweep_age_seconds" not in entry["query"]:
            yield f"{entry['id']}: only what comes by the clock may be missed"


def objectives_count_what_they_say(infra: Infra) -> Iterator[str]:
    slo = infra.resource("google_monitoring_slo", "objective")
    for ratio in slo.below("good_total_ratio"):
        if (
            '"http_failures"' not in ratio["bad_service_filter"]
            or '"http_answers"' not in ratio["total_service_filter"]
        ):
            yield "slo: failures are the bad, answers are all"
    for cut in slo.below("distribution_cut"):
        if '"start_delay_ms"' not in cut["distribution_filter"] or any(r["min"] != "0" for r in cut.below("range")):
            yield "slo: a start is good from 0 to the objective"
    for entry in infra.alerts:
        if entry["kind"] == "burn":
            long, short = (int(window.removesuffix("s")) for window in entry["windows"])
            if not long >= 10 * short:
                yield f"{entry['id']}: the windows are a long one and a short one"


def policies_say_what_the_catalogue_says(infra: Infra) -> Iterator[str]:
    """Severity is a field, not a label; somebody is told; what exceeds the threshold fires."""
    policy = infra.resource("google_monitoring_alert_policy", "alert")
    for attribute, text in (
        ("for_each", "local.catalogue"),
        ("display_name", "each.key"),
        ("severity", "each.value.severity"),
        ("notification_channels", "local.channels[each.value.severity]"),
        ("enabled", ""),
    ):
        if policy[attribute] != text:
            yield f"alerts.tf: {attribute} is {policy[attribute]!r}, not {text!r}"
    for condition in policy.below("condition_threshold"):
        if condition["comparison"] != '"COMPARISON_GT"' or condition["duration"] != "each.value.for":
            yield "alerts.tf: a threshold fires above, after the time that the catalogue says"
    if not any("each.value.runbook" in text for text in policy.texts()):
        yield "alerts.tf: the runbook is not named"


def nothing_is_alerted_on_that_no_code_emits(infra: Infra) -> Iterator[str]:
    """metrics.yaml is the code's table; and what is in the table is alerted on, or listed as only explaining."""
    if infra.texts["metrics.yaml"] != rendered():
        yield "metrics.yaml is not the code's table: python -m tests.infra.metrics_file"
    queries = " ".join(entry.get("query", "") for entry in infra.alerts) + infra.texts["slo.tf"]
    for name in OURS:
        plain = name.rpartition("/")[2].removeprefix("headgate_")
        used = re.search(rf'{re.escape(in_promql(name))}\b|"{plain}"', queries)
        if bool(used) == (plain in NOT_ALERTED):
            yield f"{plain}: " + (
                "is alerted on: take it off NOT_ALERTED" if used else "wakes nobody: say so in NOT_ALERTED"
            )


def numbers_of_both_worlds_agree(infra: Infra) -> Iterator[str]:
    policy, defaults = Policy(), infra.defaults
    for name, here, there in (
        ("queue_depth_threshold", defaults["queue_depth_threshold"], policy.pressure.queue_depth),
        ("system_slots", defaults["system_slots"], policy.system),
        ("thresholds.system_share", 100 * defaults["thresholds"]["system_share"], policy.pressure.fleet_percent),
    ):
        if here != there:
            yield f"{name} is {here} here and {there} in the policy"
    delay = next(one for one in metrics.DISTRIBUTIONS if one.name == "start_delay_ms")
    if defaults["thresholds"]["start_delay_ms"] not in delay.bounds:
        yield "thresholds.start_delay_ms lies between two buckets"
    known = {str(code) for code in Code}
    for code in str(infra.alert_values["not_rejections"]).split("|"):
        if code not in known:
            yield f"not_rejections: there is no code {code}"


RULES = (
    ids_are_unique_and_seeds_stand,
    thresholds_come_from_variables,
    variables_of_thresholds_are_used,
    metrics_are_known,
    aligners_are_legal,
    rates_are_per_second,
    shares_are_ratios,
    ratios_have_traffic,
    times_are_what_the_api_takes,
    objectives_count_what_they_say,
    policies_say_what_the_catalogue_says,
    our_metrics_are_asked_for_by_promql,
    nothing_is_alerted_on_that_no_code_emits,
    numbers_of_both_worlds_agree,
)
