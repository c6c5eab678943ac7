"""A run: what was asked, where it stands, and what came of it. Times are milliseconds since 1970 UTC, of the store's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headgate.core.policy import RunLimits
from headgate.core.scopes import Affiliation, local_scopes


class RunState(StrEnum):
    """The eight states. Who moves a run on, and what happens if that process dies right there, stands with each."""

    QUEUED = "queued"
    """Waits in line, holds no slot. A dispatch promotes it; if every dispatcher dies, the next sweep does."""
    PENDING = "pending"
    """Holds its slots; its message is (or is about to be) on its way to a worker. If the publisher dies before
    publishing, the run itself is the outbox mark: the sweep publishes what is overdue."""
    RUNNING = "running"
    """Claimed by a worker under a lease. If the worker dies the lease runs out and the sweep retries or fails it."""
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Waited past its start deadline. Like the four above final: nothing changes it any more."""


IN_FLIGHT = frozenset({RunState.PENDING, RunState.RUNNING})
TERMINAL = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED, RunState.EXPIRED})
LIVE = frozenset(RunState) - TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run did not complete: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a run left behind."""

    name: str
    uri: str
    bytes: int
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run used: peak bytes, CPU seconds, wall seconds."""

    peak_memory_bytes: int = 0
    cpu_seconds: float = 0.0
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact of a run's life. `seq` counts within the run and is assigned in the commit that makes the fact true."""

    seq: int
    at: int
    type: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run was told when it was queued (`at`, ms): seconds until its start, as likely as not and nearly surely.
    Kept so that how often it held can be counted from the runs themselves."""

    p50: float
    p90: float
    at: int
    stretch: float = 1.0
    """How much of p90 was experience with earlier estimates (`core.forecast.stretch`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsHeld:
    """The shards in which a run holds its wide slots (`system`, `kind`) or its place in line (`line`)."""

    system: str | None = None
    kind: str | None = None
    line: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The whole record. `input` and `result` are JSON text: opaque to the store and never indexed."""

    id: str
    tenant: str
    kind: str
    input: str
    created_at: int
    state: RunState
    priority: int = 5
    user: str | None = None
    org: str | None = None
    repo: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: RunLimits = RunLimits()
    retry_of: str | None = None
    concurrency_key: str | None = None
    request_id: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    """Correlation that travels with the run: traceparent and the like."""

    # where it stands
    waiting: str | None = None
    attempt: int = 1
    max_attempts: int = 3
    not_before: int | None = None
    start_by: int | None = None
    queued_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    holding_since: int | None = None

    # its place in line
    lane: str = ""
    key: int = 0
    delayed: bool = False
    """Waits for `not_before` or an answer: counts as waiting, stands in no lane."""
    forecast: Forecast | None = None

    # its execution
    fence: int = 0
    worker: str | None = None
    beat_at: int | None = None
    lease_seconds: float = 30.0
    lease_until: int | None = None
    publish_due: int | None = None
    publishes: int = 1
    """How often its message was handed to delivery since it took its slots (or was about to be)."""
    shards: ShardsHeld = ShardsHeld()

    # what came of it
    result: str | None = None
    error: RunError | None = None
    artifacts: tuple[Artifact, ...] = ()
    usage: Usage | None = None
    log_bytes: int = 0
    expire_at: int | None = None
    """When retention may remove it (ms); set when it ends."""

    # its history
    events: tuple[Event, ...] = ()
    event_seq: int = 0
    receipts: tuple[Mapping[str, object], ...] = ()

    @property
    def affiliation(self) -> Affiliation:
        """Its user, organisation and repository."""
        return Affiliation(self.user, self.org, self.repo)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Local names of its scopes inside the tenant."""
        return local_scopes(self.affiliation)

    @property
    def in_flight(self) -> bool:
        """Whether it counts against limits."""
        return self.state in IN_FLIGHT
