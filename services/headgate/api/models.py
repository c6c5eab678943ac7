"""What we answer, as models: they give the JSON its shape and the OpenAPI document its schemas. Times are ms inside."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from headgate.core.errors import Code
from headgate.core.run import RunState
from headgate.web.moments import rfc3339

Moment = Annotated[int, PlainSerializer(rfc3339), WithJsonSchema({"type": "string", "format": "date-time"})]


class Answered(BaseModel):
    """A body of ours."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """As it goes out."""
        return self.model_dump(mode="json", by_alias=True)


# --- runs


class RunLimitsAnswer(Answered):
    """What the run may use: bytes, seconds, cores."""

    memory_bytes: int
    duration_seconds: float
    cpu_cores: float


class RunErrorAnswer(Answered):
    """Why the run did not complete."""

    code: str
    message: str


class ArtifactAnswer(Answered):
    """A file that the run left; its bytes are at `…/artifacts/{name}`."""

    name: str
    uri: str
    bytes: int
    sha256: str
    media_type: str


class UsageAnswer(Answered):
    """What the run used."""

    peak_memory_bytes: int
    cpu_seconds: float
    duration_seconds: float


class EstimateAnswer(Answered):
    """Seconds until the start, as likely as not (p50) and nearly surely (p90)."""

    p50: float
    p90: float


class LineAnswer(Answered):
    """A queued run's place in its tenant's line. A delayed run has no position yet."""

    position: int | None
    length: int
    ahead_by_priority: int
    estimated_wait: EstimateAnswer | None
    waiting_for: list[str]
    holders: list[str]
    as_of: Moment | None


class RunAnswer(Answered):
    """A run. `line` is there only while it is queued."""

    run_id: str
    tenant_id: str
    kind: str
    state: RunState
    waiting: str | None
    priority: int
    repo: str | None
    org: str | None
    user: str | None
    labels: dict[str, str]
    input: dict[str, Any]
    limits: RunLimitsAnswer
    attempt: int
    max_attempts: int
    retry_of: str | None
    not_before: Moment | None
    created_at: Moment
    queued_at: Moment | None
    started_at: Moment | None
    finished_at: Moment | None
    result: dict[str, Any] | None
    error: RunErrorAnswer | None
    artifacts: list[ArtifactAnswer]
    usage: UsageAnswer | None
    receipt_id: str | None
    line: LineAnswer | None = None


class RunListAnswer(Answered):
    """Runs, newest first."""

    items: list[RunAnswer]
    next_cursor: str | None


class EventAnswer(Answered):
    """One event; output is `run.log` with `{"text"}`."""

    seq: int
    at: Moment
    type: str
    data: dict[str, Any]


class EventListAnswer(Answered):
    """A run's events in order."""

    items: list[EventAnswer]
    next_cursor: str | None


class ReceiptScopeAnswer(Answered):
    """One scope as the decision saw it."""

    scope: str
    used: int
    limit: int | None
    full: bool


class ReceiptAnswer(Answered):
    """The record of one decision."""

    receipt_id: str
    at: Moment
    outcome: Literal["admit", "queue", "refuse"]
    code: Code | None
    scopes: list[ReceiptScopeAnswer]
    binding: str | None
    mode: str
    tenant_status: str
    pressure: str
    policy_version: str
    retry_at: Moment | None
    run_id: str | None
    request_id: str | None
    count: int


# --- tenants


class PauseAnswer(Answered):
    """A pause that stands; `state` is `pausing` until every pending run was given back."""

    state: str
    mode: str
    reason: str
    by: str
    since: Moment
    until: Moment | None
    ticket: str | None


class TenantLimitsAnswer(Answered):
    """The tenant's limits; null = none. `overrides` are those of single users, repositories and organisations."""

    concurrent: int
    user: int | None
    repo: int | None
    org: int | None
    monthly_runs: int | None
    priority_ceiling: int
    overrides: dict[str, int]
    run: RunLimitsAnswer


class TenantAnswer(Answered):
    """A tenant."""

    tenant_id: str
    plan: str
    status: Literal["active", "paused", "suspended", "deactivated"]
    pause: PauseAnswer | None
    in_flight: int
    queued: int
    limits: TenantLimitsAnswer


class TenantListAnswer(Answered):
    """Tenants by id."""

    items: list[TenantAnswer]
    next_cursor: str | None


# --- operators


class HolderAnswer(Answered):
    """Who holds a slot, and until when it may."""

    run_id: str
    fence: int | None
    since: Moment
    lease_until: Moment | None
    worker: str | None


class ScopeAnswer(Answered):
    """A scope's slots."""

    scope: str
    limit: int | None
    used: int
    holders: list[HolderAnswer]


class SlotsAnswer(Answered):
    """Who holds what."""

    scopes: list[ScopeAnswer]


class ViolationAnswer(Answered):
    """One broken promise."""

    invariant: str
    subject: str
    detail: str


class AuditAnswer(Answered):
    """What a recount found, and how much was looked at; `repaired` has a line for each commit, with its audit record."""

    violations: list[ViolationAnswer]
    checked: dict[str, int]
    repaired: list[str]


# --- health and errors


class AliveAnswer(Answered):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadyAnswer(Answered):
    """Whether work would be taken now; each check is `ok` or `down`. `sandbox` names the layers around children here."""

    status: Literal["ready", "unready"]
    checks: dict[str, Literal["ok", "down"]]
    sandbox: list[str] = Field(default_factory=list, description="empty in a process that executes no runs")


class ErrorAnswer(Answered):
    """Something is wrong with the request, or with us."""

    error: str
    code: Code
    detail: str
    field: str | None
    request_id: str


class RefusalAnswer(Answered):
    """The run was refused. Which keys are there depends on `code`; `retryAfter` equals the header `Retry-After`."""

    error: str
    code: Code
    receipt_id: str = Field(default="", description="absent where it was not about a run")
    request_id: str
    reason: str = Field(default="", description="absent where `message` stands")
    message: str = ""
    retry_after: int | None = None
    scope: str = ""
    current_usage: int = 0
    limit: int | None = None
    plan: str = ""
    status: str = ""
    run_id: str = ""
