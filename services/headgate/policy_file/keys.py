"""Every key that a policy file may have: the house's own, and those of the requirement documents (`SEEDS`).

A path is written with dots; `{plan}`, `{kind}`, `{repo}`, `{org}` stand for a name of the operator's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from headgate.core.policy import PRESSURE_RULES
from headgate.core.repositories import MOST as MOST_REPOSITORIES
from headgate.policy_file.values import Value, above_zero, choice, cores, flag, or_none, seconds, share, size, whole

Path: TypeAlias = tuple[str, ...]

_COUNT = whole(0)
_CAP = or_none(_COUNT)
_LEVEL = whole(0, 9)
_SOME = whole(1)
_SECONDS = seconds()
_DAYS = whole(1, 3650)

NAMES: dict[str, tuple[re.Pattern[str], str]] = {
    "{plan}": (re.compile(r"[a-z][a-z0-9_-]{0,39}"), "a plan's name: small letters, digits, - and _"),
    "{kind}": (re.compile(r"[a-z][a-z0-9_-]{0,39}"), "a kind's name: small letters, digits, - and _"),
    "{repo}": (re.compile(r"(?=.{3,200}$)[A-Za-z0-9._-]+/[A-Za-z0-9._-]+"), "a repository as owner/name"),
    "{org}": (re.compile(r"[A-Za-z0-9._-]{1,100}"), "an organisation: letters, digits, ., - and _"),
}
"""What stands in for a name: its pattern, and the words for it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as written (`path`), the house key that it sets (its own for a house key), its value and meaning."""

    path: Path
    sets: Path
    value: Value
    meaning: str


def _run_limits(prefix: str, whose: str) -> tuple[tuple[str, Value, str], ...]:
    return (
        (f"{prefix}runLimits.memoryBytes", size(), f"memory {whose} may use"),
        (f"{prefix}runLimits.durationSeconds", _SECONDS, f"how long {whose} may take"),
        (f"{prefix}runLimits.cpuCores", cores(), f"CPU cores {whose} may use"),
    )


_ROWS: tuple[tuple[str, Value, str], ...] = (
    ("plans.{plan}.concurrent", _COUNT, "runs of a tenant in flight at once"),
    ("plans.{plan}.monthlyRuns", _CAP, "runs a month"),
    (
        "plans.{plan}.repositories",
        or_none(whole(0, MOST_REPOSITORIES)),
        "distinct repositories of live runs and the last 30 days",
    ),
    ("plans.{plan}.members", _CAP, "members of a tenant"),
    ("plans.{plan}.priorityCeiling", _LEVEL, "the highest priority a run may ask for"),
    ("plans.{plan}.defaultPriority", _LEVEL, "the priority of a run that asks for none"),
    ("plans.{plan}.weight", above_zero(1_000_000), "share of slot-seconds when the fleet is full"),
    *_run_limits("plans.{plan}.", "a run of this plan"),
    ("defaultPriority", _LEVEL, "for every plan but enterprise that does not say its own; at most its ceiling"),
    *_run_limits("", "a run of any plan that does not say its own"),
    ("limits.system", _CAP, "runs in flight over all tenants"),
    ("limits.user", _CAP, "runs in flight of one user of a tenant"),
    ("limits.repo", _CAP, "runs in flight of one repository of a tenant"),
    ("limits.org", _CAP, "runs in flight of one organisation of a tenant"),
    ("limits.kinds.{kind}", _CAP, "runs in flight of one kind over all tenants"),
    ("limits.repos.{repo}", _COUNT, "instead of limits.repo for this repository"),
    ("limits.orgs.{org}", _COUNT, "instead of limits.org for this organisation"),
    *(
        (f"whenFull.{scope}", choice("reject", "queue"), f"what a full {scope} scope does with a run that wants in")
        for scope in ("tenant", "user", "org", "repo", "kind", "system")
    ),
    ("line.total", _COUNT, "runs that may wait in all"),
    ("line.perTenant", _COUNT, "runs of one tenant that may wait"),
    ("line.perUser", _COUNT, "runs of one user that may wait"),
    ("ageingSeconds", _SECONDS, "waiting this long raises a run by one level of priority"),
    ("requests.perSecond", above_zero(1_000_000), "requests a second of one tenant"),
    ("requests.burst", _SOME, "requests of one tenant at once"),
    ("retryAfter.full", whole(1, 86_400), "least seconds to wait after a refusal for want of a slot"),
    ("retryAfter.paused", whole(1, 86_400), "least seconds to wait after a refusal because of a pause"),
    ("execution.leaseSeconds", _SECONDS, "how long a worker holds a run without a heartbeat; above 2 heartbeats"),
    ("execution.heartbeatSeconds", _SECONDS, "how often a worker renews its lease"),
    ("execution.maxAttempts", whole(1, 100), "attempts of one run"),
    ("execution.backoffMinSeconds", _SECONDS, "wait before the second attempt"),
    ("execution.backoffMaxSeconds", _SECONDS, "longest wait between attempts"),
    ("execution.startDeadlineSeconds", _SECONDS, "a run that has not started by then expires"),
    ("execution.inputGraceSeconds", _SECONDS, "how long a run that waits for input keeps its slots"),
    ("execution.publishGraceSeconds", _SECONDS, "how long a pending run's message may take before it is sent again"),
    ("execution.maxPublishes", whole(1, 30), "times a pending run's message is sent, waiting twice as long each time"),
    ("execution.expectedSeconds", _SECONDS, "what a run is expected to take until it has ended"),
    ("execution.logBytes", size(), "what is kept of a run's output"),
    ("retention.runs", _DAYS, "days that finished runs are kept"),
    ("retention.events", _DAYS, "days that events are kept"),
    ("retention.receipts", _DAYS, "days that receipts are kept"),
    ("retention.idempotencyKeys", _DAYS, "days that idempotency keys are kept"),
    ("retention.deadLetters", _DAYS, "days that messages which were given up are kept"),
    ("github.callsPerMinute", _SOME, "calls to GitHub a minute for one organisation"),
    ("github.tokensPerRepositoryPerHour", _SOME, "registration tokens an hour for one repository"),
    ("github.tokenSeconds", _SECONDS, "how long a registration token is used"),
    ("github.refreshSeconds", _SECONDS, "age at which a token is renewed ahead; below github.tokenSeconds"),
    ("pressure.queueDepth", _COUNT, "messages (embedded: pending runs) that no worker has taken: above, slow"),
    ("pressure.fleetPercent", above_zero(100), "percent of the system's slots in use: above, shed"),
    ("pressure.errorRate", share(), "share of failures that are the system's own: above, slow"),
    ("pressure.errorWindow", _SOME, "finished runs that the error rate looks back on"),
    ("pressure.errorMinimum", _SOME, "finished runs before the error rate counts; at most pressure.errorWindow"),
    ("pressure.shedBelow", whole(0, 10), "shed refuses new runs of a priority below this; 10 refuses all"),
    ("pressure.clearShare", share(), "a rule that fires rests again at this share of its threshold"),
    ("pressure.slowPerSecond", above_zero(1_000), "starts a second while the system is slow, or a ramp begins"),
    ("pressure.rampDoubleSeconds", _SECONDS, "a ramp doubles its rate so often"),
    ("pressure.rampSeconds", whole(0, 86_400), "how long a ramp after a pause or a slow spell goes on; 0: none"),
    *((f"pressure.dryRun.{rule}", flag(), f"the {rule} rule is only watched") for rule in PRESSURE_RULES),
    ("discussion.providerCalls", _SOME, "calls of one discussion to its providers at once"),
)

_RESOURCES = (
    ("maxConcurrentGitOps", "limits.kinds.git"),
    ("maxConcurrentIndexing", "limits.kinds.indexing"),
    ("maxMemoryPerJob", "runLimits.memoryBytes"),
    ("maxCPUPerJob", "runLimits.cpuCores"),
    ("maxJobDuration", "runLimits.durationSeconds"),
)

_ALIASES: tuple[tuple[str, str], ...] = (
    ("concurrency.per_user.max_active_jobs", "limits.user"),
    ("concurrency.per_user.max_queued_jobs", "line.perUser"),
    ("concurrency.system.max_total_jobs", "limits.system"),
    ("concurrency.system.max_git_operations", "limits.kinds.git"),
    ("concurrency.system.max_indexing_jobs", "limits.kinds.indexing"),
    ("concurrency.resources.max_memory_per_job", "runLimits.memoryBytes"),
    ("concurrency.resources.max_cpu_per_job", "runLimits.cpuCores"),
    ("concurrency.resources.max_job_duration", "runLimits.durationSeconds"),
    ("concurrency.queue.max_size", "line.total"),
    ("concurrency.queue.default_priority", "defaultPriority"),
    ("concurrency.queue.premium_priority", "plans.enterprise.defaultPriority"),
    ("MAX_JOBS_PER_USER", "limits.user"),
    ("MAX_TOTAL_JOBS", "limits.system"),
    *_RESOURCES,
    *((f"ResourceLimits.{name}", house) for name, house in _RESOURCES),
    ("repositories.{repo}", "limits.repos.{repo}"),
    ("repositories.default", "limits.repo"),
    ("{repo}", "limits.repos.{repo}"),
    ("default", "limits.repo"),
    ("githubApiCallsPerMinute", "github.callsPerMinute"),
    ("tokensPerRepositoryPerHour", "github.tokensPerRepositoryPerHour"),
    ("maxQueueDepth", "pressure.queueDepth"),
    ("maxConcurrencyPercent", "pressure.fleetPercent"),
    ("maxErrorRate", "pressure.errorRate"),
    ("maxConcurrentProviderCalls", "discussion.providerCalls"),
    ("runLimits.memory", "runLimits.memoryBytes"),
    ("plans.{plan}.runLimits.memory", "plans.{plan}.runLimits.memoryBytes"),
)


def _path(dotted: str) -> Path:
    return tuple(dotted.split("."))


def _house_key(path: Path) -> Key:
    """The house key at `path`, in which a name may stand for its placeholder: plans.enterprise is plans.{plan}."""
    matching = (key for key in HOUSE if len(key.path) == len(path))
    return next(k for k in matching if all(a == b or a in NAMES for a, b in zip(k.path, path, strict=True)))


HOUSE: tuple[Key, ...] = tuple(Key(_path(path), _path(path), value, meaning) for path, value, meaning in _ROWS)
SEEDS: tuple[Key, ...] = tuple(
    Key(_path(path), _path(house), _house_key(_path(house)).value, f"the same as {house}") for path, house in _ALIASES
)
