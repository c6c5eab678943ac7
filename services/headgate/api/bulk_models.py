"""What bulk operations take and answer, and the retry of one run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from headgate.api import requests
from headgate.api.models import Answered
from headgate.api.requests import Asked
from headgate.core.errors import InvalidRequest
from headgate.flow.cancel_all import Wanted

MOST_RUNS = 100
IDEMPOTENCY_KEY = r"^[ -~]{1,255}$"


class RetryRequest(Asked):
    """What to do when a scope is full; the body may be absent."""

    on_limit: Literal["reject", "queue"] | None = None


class BatchItemRequest(requests.SubmitRequest):
    """A run to be, with an idempotency key of its own."""

    idempotency_key: Annotated[str, StringConstraints(pattern=IDEMPOTENCY_KEY)] | None = None


class BatchRequest(Asked):
    """Up to 100 runs, each decided on alone, in their order."""

    runs: Annotated[list[BatchItemRequest], Field(min_length=1, max_length=MOST_RUNS)]


class BatchEnvelope(Asked):
    """The same with its runs unread: one that is wrong is answered alone."""

    runs: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_RUNS)]


class BatchItemAnswer(Answered):
    """What the run would have been answered alone: its status with the run, or with the error or refusal."""

    status: int
    run: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class BatchAnswer(Answered):
    """As many answers as runs, in their order."""

    items: list[BatchItemAnswer]


class CancelFilter(Asked):
    """Which of the unfinished runs; named like their fields, all must match."""

    state: Literal["queued", "pending", "running"] | None = None
    kind: requests.Name | None = None
    repo: requests.Name | None = None
    org: requests.Name | None = None
    user: requests.Name | None = None
    priority: requests.Priority | None = None
    concurrency_key: requests.Name | None = None
    labels: dict[str, str] | None = None

    @model_validator(mode="after")
    def _check_any(self) -> CancelFilter:
        if not any(value is not None for value in self.model_dump().values()):
            raise InvalidRequest('filter must name at least one field, as {"state": "queued"}.', field="filter")
        return self

    def wanted(self) -> Wanted:
        """As the flow takes it."""
        fields = self.model_dump(exclude={"state", "labels"}, exclude_none=True)
        return Wanted(state=self.state, equal=fields, labels=self.labels or {})


class CancelRunsRequest(Asked):
    """Which to cancel."""

    filter: CancelFilter


class CancelledAnswer(Answered):
    """How many were cancelled, and which. `more`: others match, too; ask again."""

    cancelled: int
    run_ids: list[str]
    more: bool
