"""The one table of metrics. What `/metrics` serves, what the sweep writes to Cloud Monitoring, what `infra/` makes
log-based metrics from and alerts on: all of it is here, and nothing else is.

A gauge is measured from the store. A counter counts log lines by their `action` word: on Google Cloud Logging counts
them (for that survives processes that come and go), on `/metrics` the process itself does, so there it is the process's own.
A distribution is made of one number of such lines. Labels are bounded: words of closed lists, never a tenant's, a
user's or a repository's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A value as it stands. Where it is unknown there is no sample: unknown is never zero."""

    name: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """How many lines with one of the `actions` were logged. `labels`: the label and the fact whose value it is.

    `above`: only lines whose fact of that name exceeds the variable of that name of `infra/`; such a one has no
    counterpart on `/metrics`, for the process does not know the variable.
    """

    name: str
    help: str
    actions: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    above: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The values of one fact of the lines with that action. `bounds` between the buckets."""

    name: str
    unit: str
    help: str
    action: str
    fact: str
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of a gauge."""

    metric: Gauge
    value: float
    labels: tuple[str, ...] = ()
    """In the order of the metric's own."""


SLOTS_IN_USE = Gauge(name="slots_in_use", unit="1", help="Slots in use, by wide scope.", labels=("scope",))
SLOTS_LIMIT = Gauge(name="slots_limit", unit="1", help="Limit of a wide scope; none without one.", labels=("scope",))
RUNS = Gauge(name="runs", unit="1", help="Runs that are queued, pending or running.", labels=("state",))
LINE_LIMIT = Gauge(name="line_limit", unit="1", help="How many runs may wait in all.")
OLDEST_QUEUED = Gauge(
    name="oldest_queued_age_seconds",
    unit="s",
    help="How long the oldest waiting run has waited; delayed runs and those under a pause apart.",
)
TENANT_SHARE = Gauge(
    name="largest_tenant_share", unit="1", help="Part of the system's slots that the greediest tenant holds."
)
REPO_SHARE = Gauge(
    name="largest_repo_share", unit="1", help="Part of the system's slots that the greediest repository holds."
)
MODE = Gauge(name="drain_mode", unit="1", help="Mode of the system: 0 normal, 1 draining, 2 maintenance.")
MODE_AGE = Gauge(name="drain_age_seconds", unit="s", help="How long it drains, or is in maintenance; 0 = normal.")
DRAIN_LEFT = Gauge(name="drain_runs_left", unit="1", help="Runs that a drain still has to finish; 0 = none, or normal.")
PAUSED = Gauge(name="paused_scopes", unit="1", help="Pauses that stand, by type of scope.", labels=("type",))
PAUSE_AGE = Gauge(name="longest_pause_seconds", unit="s", help="How long the oldest pause stands; 0 = none.")
PRESSURE = Gauge(name="pressure_state", unit="1", help="Back-pressure: 0 ok, 1 slow, 2 shed.")
DRIFT = Gauge(
    name="slot_drift",
    unit="1",
    help="Runs that hold a slot and should not, or the other way round, looked at twice.",
)
FAIRNESS = Gauge(
    name="fairness_jain",
    unit="1",
    help="Jain's index over received / entitled slot-seconds of the last half hour; 1 = fair.",
)
LETTERS = Gauge(name="dead_letters_open", unit="1", help="Dead letters that nobody has dealt with.")
LETTER_AGE = Gauge(name="oldest_dead_letter_seconds", unit="s", help="Age of the oldest open dead letter; 0 = none.")
SWEEP_AGE = Gauge(
    name="sweep_age_seconds",
    unit="s",
    help="Since the last sweep looked at the signals. On Google Cloud only a sweep writes it: its absence is the alarm.",
)

GAUGES = (
    SLOTS_IN_USE, SLOTS_LIMIT, RUNS, LINE_LIMIT, OLDEST_QUEUED, TENANT_SHARE, REPO_SHARE, MODE, MODE_AGE, DRAIN_LEFT,
    PAUSED, PAUSE_AGE, PRESSURE, DRIFT, FAIRNESS, LETTERS, LETTER_AGE, SWEEP_AGE,
)  # fmt: skip

COUNTERS = (
    Counter(
        name="decisions",
        help="Decisions on submissions: admitted, queued, refused and why.",
        actions=("run.admitted", "run.queued", "run.refused"),
        labels={"action": "action", "reason": "reason"},
    ),
    Counter(
        name="promotions",
        help="Runs that were started from the line.",
        actions=("run.promoted",),
    ),
    Counter(
        name="runs_ended",
        help="Runs that came to their end, by the state they ended in; retries are not ends.",
        actions=("run.finished", "run.cancelled", "run.expired"),
        labels={"action": "action", "state": "state"},
    ),
    Counter(name="runs_retried", help="Attempts that are repeated.", actions=("run.retried",)),
    Counter(
        name="leases_reclaimed",
        help="Runs whose worker was lost: the sweep took their slots back.",
        actions=("lease.reclaimed",),
    ),
    Counter(
        name="dead_letters",
        help="Messages that were given up.",
        actions=("dead_letter.kept",),
        labels={"reason": "reason"},
    ),
    Counter(
        name="pushes_refused",
        help="Pushes and calls of the scheduler that could not prove who they are.",
        actions=("push.refused",),
    ),
    Counter(
        name="late_deliveries",
        help="Deliveries beyond the most attempts: forwarding to the dead letters does not work.",
        actions=("push.redelivered",),
        above=("delivery_attempt", "max_delivery_attempts"),
    ),
    Counter(name="redeliveries", help="Messages that came again.", actions=("push.redelivered",)),
    Counter(
        name="publish_failures",
        help="Messages that the broker did not take; the sweep tries again.",
        actions=("run.publish_failed",),
    ),
    Counter(
        name="store_errors",
        help="What failed because the store was away or contended (STORE_*), or the broker away (BROKER_UNAVAILABLE).",
        actions=(
            "http.unavailable",
            "dispatch.unavailable",
            "alarm.unavailable",
            "sweep.unavailable",
            "sweep.failed",
            "metrics.unavailable",
        ),
        labels={"action": "action", "reason": "reason"},
    ),
    Counter(
        name="http_answers",
        help="Requests that were answered, by status; good answers to probes apart.",
        actions=("http.answered",),
        labels={"status": "status"},
    ),
    Counter(
        name="http_failures",
        help="Requests that failed by our fault: a bug, or the store. Refusals are none.",
        actions=("http.error", "http.unavailable"),
        labels={"action": "action"},
    ),
    Counter(
        name="requests_limited",
        help="Seconds in which a tenant sent more requests than its rate.",
        actions=("request.refused",),
    ),
    Counter(
        name="monitoring_failures",
        help="Times that Cloud Monitoring could not be read or written.",
        actions=("monitoring.unavailable", "monitoring.write_failed"),
        labels={"action": "action"},
    ),
)

DISTRIBUTIONS = (
    Distribution(
        name="start_delay_ms",
        unit="ms",
        help="From the grant of its slots to a run's start.",
        action="run.started",
        fact="start_delay_ms",
        bounds=(10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000),
    ),
    Distribution(
        name="drain_seconds",
        unit="s",
        help="How long drains took.",
        action="drain.completed",
        fact="seconds",
        bounds=(30, 60, 300, 600, 900, 1800, 3600, 7200),
    ),
)
