"""What the switches take and answer: pauses, a tenant's status, the system's mode, dead letters."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from headgate.api import models, requests
from headgate.api.models import Answered
from headgate.api.requests import Asked
from headgate.core.errors import InvalidRequest
from headgate.core.scopes import split_name

Why = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(requests.printable)]
Ticket = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(requests.printable)]
LetterReason = Literal["malformed", "dead_lettered", "undelivered"]
LetterState = Literal["open", "replayed", "discarded"]
LETTER_WORDS = {"reason": get_args(LetterReason), "state": get_args(LetterState)}
"""What may stand in these fields of a dead letter."""
PauseMode = Literal["reject", "hold", "drain", "drain_cancel"]


def _scope(name: str) -> str:
    if split_name(name)[1] == "system":
        raise ValueError("cannot be the whole system: its mode is at /admin/draining")
    return name


# --- pauses


class PauseTenantRequest(Asked):
    """Why, how and until when; the body may be absent."""

    reason: Why | None = None
    mode: PauseMode = "reject"
    until: requests.Moment | None = None
    ticket: Ticket | None = None


class ResumeTenantRequest(Asked):
    """Why, for the audit log; the body may be absent."""

    reason: Why | None = None


class PauseRequest(Asked):
    """A pause of one scope."""

    scope: Annotated[str, StringConstraints(min_length=1, max_length=400), AfterValidator(_scope)]
    mode: PauseMode = "reject"
    reason: Why
    until: requests.Moment | None = None
    ticket: Ticket | None = None


class ScopePauseAnswer(models.PauseAnswer):
    """A pause that stands, and of what."""

    scope: str


class PauseListAnswer(Answered):
    """Pauses by scope."""

    items: list[ScopePauseAnswer]
    next_cursor: str | None


class ResumedAnswer(Answered):
    """`resumed` is false if the scope was not paused."""

    scope: str
    resumed: bool


# --- status and mode


class StatusRequest(Asked):
    """suspended refuses and stops what has not started, deactivated ends everything, active takes both back."""

    status: Literal["active", "suspended", "deactivated"]
    reason: Why


class DrainingRequest(Asked):
    """draining takes no new work and finishes the rest, maintenance starts nothing, normal is the usual."""

    mode: Literal["normal", "draining", "maintenance"]
    reason: Why | None = None


class DrainProgress(Answered):
    """Of the runs that were live when it began. `running` = pending and running."""

    total: int
    finished: int
    running: int
    queued: int


class DrainingAnswer(Answered):
    """The system's mode. `drainSeconds`: how long the drain took, once it is over."""

    mode: Literal["normal", "draining", "maintenance"]
    since: models.Moment | None
    by: str | None
    reason: str | None
    progress: DrainProgress
    estimated_seconds: float | None
    drain_seconds: float | None


# --- dead letters


class DeadLetterAnswer(Answered):
    """A message that was given up. `body` is as it came, up to 16 KiB of it; `count` is how often it came."""

    dead_letter_id: str
    at: models.Moment
    reason: LetterReason
    detail: str
    body: str
    outcome: Literal["ended", "moved_on", "unknown"] | None
    tenant_id: str | None
    run_id: str | None
    fence: int | None
    state: LetterState
    count: int


class DeadLetterListAnswer(Answered):
    """Dead letters, newest first."""

    items: list[DeadLetterAnswer]
    next_cursor: str | None


class DeadLetterFilter(Asked):
    """Which of the open ones; named like their fields."""

    tenant_id: requests.Name | None = None
    run_id: requests.Name | None = None
    reason: LetterReason | None = None


class DeadLettersRequest(Asked):
    """By their ids, or (the newest 200 open ones that match) by a filter; why goes into the audit log."""

    ids: Annotated[list[requests.Name], Field(min_length=1, max_length=200)] | None = None
    filter: DeadLetterFilter | None = None
    reason: Why

    @model_validator(mode="after")
    def _check_together(self) -> DeadLettersRequest:
        if (self.ids is None) == (self.filter is None):
            raise InvalidRequest("give either ids or filter.", field="ids")
        if self.ids is not None and len(set(self.ids)) < len(self.ids):
            raise InvalidRequest("ids names one twice: name each once.", field="ids")
        return self


class DeadLetterDone(Answered):
    """What became of one: 200, 201 or 202 with the run it concerns now, or the error it would have had alone."""

    dead_letter_id: str
    status: int
    run: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class DeadLettersDoneAnswer(Answered):
    """Each with its own answer. `more`: the filter matches others, too; ask again."""

    items: list[DeadLetterDone]
    more: bool
