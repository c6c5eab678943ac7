"""What the limits take and answer, and the audit log."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PlainSerializer, StringConstraints, model_validator

from headgate.api import changes, requests
from headgate.api.models import Answered, Moment
from headgate.api.requests import Asked, Whole
from headgate.api.switch_models import Why
from headgate.core.errors import InvalidRequest

MOST = 1_000_000_000
Number = Annotated[Whole, Field(ge=0, le=MOST)]
ScopeName = Annotated[str, StringConstraints(min_length=1, max_length=400)]

# --- limits


class LimitRequest(Asked):
    """A limit to set at run time; null takes it back to the policy's. `until`: it is taken back by itself then."""

    scope: ScopeName
    limit: Number | None
    reason: Why
    until: requests.Moment | None = None


class OverrideAnswer(Answered):
    """A limit set at run time, over the policy's."""

    limit: int
    by: str
    reason: str
    since: Moment
    until: Moment | None


class LimitAnswer(Answered):
    """A scope's limit: the policy's (`base`, null = none), what stands over it, the one in force, and slots in use."""

    scope: str
    base: int | None
    override: OverrideAnswer | None
    effective: int | None
    used: int


class LimitsAnswer(Answered):
    """Limits."""

    limits: list[LimitAnswer]


# --- what-if


class WhatIfRequest(Asked):
    """Either `limits` by scope (also `user`, `repo`, `org` for all of a type; null = the policy's), or the text of a
    whole policy file. `tenant`: answer for this one only."""

    limits: Annotated[dict[ScopeName, Number | None], Field(max_length=200)] | None = None
    policy: Annotated[str, StringConstraints(min_length=1, max_length=200_000)] | None = None
    since: requests.Moment
    tenant: str | None = None

    @model_validator(mode="after")
    def _check_together(self) -> WhatIfRequest:
        if (self.limits is None) == (self.policy is None):
            raise InvalidRequest("give either limits or policy.", field="limits")
        return self


class TallyAnswer(Answered):
    """How many were admitted at once, waited, were refused; of those that waited p50 and p90, in seconds."""

    admitted: int
    waited: int
    refused: int
    wait_p50: float
    wait_p90: float


class ComparisonAnswer(Answered):
    """One tenant: what was recorded, what the replay makes of the present limits, and of the proposed ones."""

    tenant: str
    submitted: int
    recorded: TallyAnswer
    now: TallyAnswer
    then: TallyAnswer


class WhatIfAnswer(Answered):
    """The replay of the present limits says of `agreeing` of the `receipts` what really happened: so far it can be
    believed. `leftOut` is what the model does not know."""

    since: Moment
    until: Moment
    receipts: int
    agreeing: int
    tenants: list[ComparisonAnswer]
    left_out: list[str]


# --- the audit log

Change = Annotated[Any, PlainSerializer(changes.told)]


class AuditRecordAnswer(Answered):
    """Who changed what, when and why."""

    id: str
    at: Moment
    actor: str
    action: str
    subject: str
    tenant: str | None
    before: Change
    after: Change
    reason: str
    request_id: str | None


class AuditLogAnswer(Answered):
    """Records, newest first."""

    items: list[AuditRecordAnswer]
    next_cursor: str | None
