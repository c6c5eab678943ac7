"""The policy: every number that decides, as one frozen value with the defaults of SPEC.

`policy_file.py` reads it from YAML; nothing else makes one. Times are seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class OnLimit(StrEnum):
    """What a full scope does with a run that wants in."""

    REJECT = "reject"
    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_IN_PROGRESS = "cancel_in_progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What one run may use: bytes, seconds, cores."""

    memory_bytes: int = 512 * 1024 * 1024
    duration_seconds: float = 300.0
    cpu_cores: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a tenant bought. None = no limit."""

    name: str
    concurrent: int
    monthly_runs: int | None
    repositories: int | None
    members: int | None
    priority_ceiling: int
    default_priority: int = 5
    weight: float = 1.0
    run_limits: RunLimits = RunLimits()

    @property
    def title(self) -> str:
        """As people read it: `Pro`."""
        return self.name.capitalize()


PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        "free": Plan(name="free", concurrent=1, monthly_runs=100, repositories=3, members=3, priority_ceiling=5),
        "pro": Plan(name="pro", concurrent=5, monthly_runs=10_000, repositories=50, members=25, priority_ceiling=7),
        "enterprise": Plan(
            name="enterprise",
            concurrent=20,
            monthly_runs=None,
            repositories=None,
            members=None,
            priority_ceiling=9,
            default_priority=8,
        ),
    }
)

WHEN_FULL: Mapping[str, OnLimit] = MappingProxyType(
    {
        "tenant": OnLimit.REJECT,
        "user": OnLimit.QUEUE,
        "org": OnLimit.QUEUE,
        "repo": OnLimit.QUEUE,
        "kind": OnLimit.QUEUE,
        "system": OnLimit.QUEUE,
    }
)

PRIORITY_WORDS: Mapping[str, int] = MappingProxyType({"critical": 9, "high": 7, "normal": 5, "low": 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBounds:
    """How many may wait."""

    total: int = 1_000
    per_tenant: int = 500
    per_user: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How runs are kept alive and retried."""

    lease_seconds: float = 30.0
    heartbeat_seconds: float = 10.0
    max_attempts: int = 3
    backoff_min_seconds: float = 2.0
    backoff_max_seconds: float = 60.0
    start_deadline_seconds: float = 24 * 3600.0
    input_grace_seconds: float = 60.0
    publish_grace_seconds: float = 10.0
    """How long a pending run's message may take before the sweep publishes it again; twice as long each time."""
    max_publishes: int = 10
    """So often a pending run's message is published before the run is given up: about 3 hours with the defaults."""
    expected_seconds: float = 10.0
    """What a run is expected to take until it has ended: the estimate in the fair order."""
    log_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days that things are kept."""

    runs: int = 90
    events: int = 30
    receipts: int = 7
    idempotency_keys: int = 1
    dead_letters: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubPolicy:
    """How often GitHub is asked for registration tokens, and how long one is used."""

    calls_per_minute: int = 10
    """Of one organisation."""
    tokens_per_repository_per_hour: int = 5
    token_seconds: float = 50 * 60.0
    refresh_seconds: float = 45 * 60.0
    """Age at which a cached token is renewed ahead of its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PressurePolicy:
    """From where on the system slows down or sheds. A rule fires above its threshold, not at it."""

    queue_depth: int = 100
    """Messages or pending runs that no worker has claimed: above, slow."""
    fleet_percent: float = 80.0
    """Slots of the system in use: above, shed."""
    error_rate: float = 0.05
    """Share (0-1) of the system's own failures in the last `error_window` finished runs: above, slow."""
    error_window: int = 100
    error_minimum: int = 20
    """Finished runs before the error rate is believed."""
    shed_below: int = 5
    """Shed refuses new runs of a priority below this; 10 refuses all."""
    dry_run: frozenset[str] = frozenset()
    """Those of PRESSURE_RULES that are only watched."""
    clear_share: float = 0.8
    """A rule that fires rests again at this share (0-1) of its threshold."""
    slow_per_second: float = 2.0
    """Starts a second while the system is slow, and at the beginning of a ramp."""
    ramp_double_seconds: float = 10.0
    """A ramp doubles its rate so often."""
    ramp_seconds: int = 60
    """How long a ramp goes on after a resume, a maintenance or a slow spell; 0 = no ramps."""


PRESSURE_RULES = ("queueDepth", "fleetPercent", "errorRate", "github")
"""The rules of back-pressure, as policy file and receipts name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything above, the caps, and the version that receipts quote."""

    version: str = "default"
    plans: Mapping[str, Plan] = field(default_factory=lambda: PLANS)
    system: int | None = 50
    user: int | None = 3
    repo: int | None = 2
    org: int | None = None
    kinds: Mapping[str, int | None] = field(default_factory=lambda: MappingProxyType({"git": 5, "indexing": 10}))
    repo_overrides: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    org_overrides: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    when_full: Mapping[str, OnLimit] = field(default_factory=lambda: WHEN_FULL)
    line: LineBounds = LineBounds()
    ageing_seconds: float = 300.0
    requests_per_second: float = 100.0
    request_burst: int = 500
    retry_after_full: int = 30
    retry_after_paused: int = 60
    execution: Execution = Execution()
    retention: Retention = Retention()
    github: GitHubPolicy = GitHubPolicy()
    pressure: PressurePolicy = PressurePolicy()
    provider_calls: int = 5
    """Calls of a discussion to its providers at once, over its whole tree."""

    def plan(self, name: str) -> Plan:
        """The plan of that name; an unknown one is the strictest (fewest concurrent runs)."""
        return self.plans.get(name) or min(self.plans.values(), key=lambda p: p.concurrent)

    def kind_cap(self, kind: str) -> int | None:
        """Concurrent runs of a kind over all tenants; None = no limit."""
        return self.kinds.get(kind)
