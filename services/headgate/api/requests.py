"""What callers may send: strict models, camelCase, nothing unknown."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from headgate.core.errors import BodyTooLarge, InvalidRequest
from headgate.core.policy import PRIORITY_WORDS, OnLimit
from headgate.core.submission import AskedLimits, Submission
from headgate.web.moments import parse_rfc3339

MAX_INPUT = 512 * 1024
"""Bytes of `input` as JSON in UTF-8, without white space."""
REPO = r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$"


def _whole(value: object) -> object:
    """`3.0` is a whole number to JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _priority(value: object) -> object:
    if not isinstance(value, str):
        return _whole(value)
    if value not in PRIORITY_WORDS:
        raise ValueError(f"must be 0 to 9, or one of {', '.join(PRIORITY_WORDS)}")
    return PRIORITY_WORDS[value]


def printable(value: str) -> str:
    """The value. Raises ValueError when it holds what no terminal and no log should show."""
    if not value.isprintable():
        raise ValueError("must be printable characters")
    return value


def _moment(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a string, a time as 2026-07-01T12:00:00Z")
    return parse_rfc3339(value)


Whole = Annotated[int, BeforeValidator(_whole)]
Moment = Annotated[int, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Priority = Annotated[
    int,
    Field(ge=0, le=9),
    BeforeValidator(_priority),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"enum": list(PRIORITY_WORDS)}]}),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(printable)]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=256)]
LabelValue = Annotated[str, StringConstraints(max_length=256)]


class Asked(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class LimitsRequest(Asked):
    """What the run may use, up to the plan's limits; what is left out is the plan's."""

    memory_bytes: Whole | None = Field(None, gt=0)
    duration_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    cpu_cores: float | None = Field(None, gt=0, allow_inf_nan=False)


class SubmitRequest(Asked):
    """A run to be. `input` is the kind's own; `org` follows from `repo`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"kind": "command", "input": {"command": "echo", "args": ["hello"]}},
                {
                    "kind": "git",
                    "input": {"url": "https://github.com/acme/web", "ref": "main"},
                    "repo": "acme/web",
                    "user": "ada",
                    "priority": "high",
                    "labels": {"team": "web"},
                    "limits": {"durationSeconds": 120},
                    "onLimit": "queue",
                },
            ]
        }
    )

    kind: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    input: dict[str, Any]
    repo: Annotated[str, StringConstraints(pattern=REPO, max_length=200)] | None = None
    user: Name | None = None
    priority: Priority | None = None
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = None
    limits: LimitsRequest | None = None
    on_limit: Literal["reject", "queue", "skip", "cancel_in_progress"] | None = None
    not_before: Moment | None = None
    start_by: Moment | None = None
    concurrency_key: Name | None = None

    @model_validator(mode="after")
    def _check_together(self) -> SubmitRequest:
        if self.on_limit in ("skip", "cancel_in_progress") and self.concurrency_key is None:
            raise InvalidRequest(f"onLimit {self.on_limit} needs a concurrencyKey.", field="concurrencyKey")
        size = len(json.dumps(self.input, separators=(",", ":"), ensure_ascii=False).encode())
        if size > MAX_INPUT:
            raise BodyTooLarge(f"input has {size} bytes, the limit is {MAX_INPUT}.", field="input")
        return self

    def submission(self) -> Submission:
        """As the flow takes it."""
        limits = self.limits or LimitsRequest()
        return Submission(
            kind=self.kind,
            input=self.input,
            repo=self.repo,
            user=self.user,
            priority=self.priority,
            labels=self.labels or {},
            limits=AskedLimits(
                memory_bytes=limits.memory_bytes,
                duration_seconds=limits.duration_seconds,
                cpu_cores=limits.cpu_cores,
            ),
            on_limit=None if self.on_limit is None else OnLimit(self.on_limit),
            not_before=self.not_before,
            start_by=self.start_by,
            concurrency_key=self.concurrency_key,
        )


class CancelRequest(Asked):
    """Nothing, yet; the body may be absent."""


class AuditRequest(Asked):
    """Report only, unless `repair` is asked for, with a reason for the audit log; the body may be absent."""

    repair: bool = False
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(printable)] | None = None

    @model_validator(mode="after")
    def _check_together(self) -> AuditRequest:
        if self.repair and self.reason is None:
            raise InvalidRequest("a repair needs a reason: it goes into the audit log.", field="reason")
        return self
