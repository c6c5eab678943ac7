"""The table of contents of the API: every operation, what it takes, and everything it can answer.

The routes are made from this table, and so is the OpenAPI document: neither can drift from the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from headgate.api import models, requests
from headgate.core.policy import PRIORITY_WORDS
from headgate.core.run import RunState
from headgate.web.auth import PUBLIC

JSON = "application/json"
TEXT = "text/plain"
EVENTS = "text/event-stream"
BINARY = "application/octet-stream"

Schema = Mapping[str, Any]
Content = type[BaseModel] | tuple[type[BaseModel], ...] | Schema
"""A model, any of several, or a schema as it stands."""
TEXT_SCHEMA: Schema = {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One status: what it means, its content by media type, and headers of its own."""

    means: str
    content: Mapping[str, Content] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `here` = a view answers it; others are answered by the front itself."""

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, Answer]
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    body: type[BaseModel] | None = None
    body_optional: bool = False
    here: bool = True

    @property
    def public(self) -> bool:
        """Whether it needs no key."""
        return self.path in PUBLIC


def _gives(model: type[BaseModel], means: str, *headers: str) -> Answer:
    return Answer(means=means, content={JSON: model}, headers=headers)


def _refuses(means: str) -> Answer:
    return Answer(means=means, content={JSON: models.RefusalAnswer}, headers=("Retry-After",))


_EITHER = (models.RefusalAnswer, models.ErrorAnswer)
_TENANT = "/tenants/{tenantId}"
_RUN = _TENANT + "/runs/{runId}"
_PAGE: Mapping[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    "cursor": {"type": "string", "description": "the nextCursor of the page before"},
}
_AFTER: Schema = {"type": "integer", "minimum": 0, "default": 0, "description": "only events with a greater seq"}
_KEY: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "the same key and body within 24 h give the same run",
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path=_TENANT + "/runs",
        name="submitRun",
        summary="Submit a run",
        body=requests.SubmitRequest,
        headers={"Idempotency-Key": _KEY},
        answers={
            201: _gives(models.RunAnswer, "admitted: it starts now", "Location", "Idempotency-Replayed"),
            202: _gives(models.RunAnswer, "in line", "Location", "Idempotency-Replayed"),
            403: Answer(
                means="the tenant is suspended or deactivated, or the role does not allow it",
                content={JSON: _EITHER},
            ),
            409: _refuses("onLimit skip, and an unfinished run has the concurrencyKey"),
            422: Answer(
                means="it can never fit, or the Idempotency-Key was used for another body",
                content={JSON: _EITHER},
            ),
            429: _refuses("a limit is reached"),
            503: Answer(
                means="paused, draining, overloaded, or the store does not answer",
                content={JSON: _EITHER},
                headers=("Retry-After",),
            ),
        },
    ),
    Operation(
        method="GET",
        path=_TENANT + "/runs",
        name="listRuns",
        summary="List runs, newest first",
        query={
            "state": {"enum": [str(state) for state in RunState]},
            "kind": TEXT_SCHEMA,
            "repo": TEXT_SCHEMA,
            "org": TEXT_SCHEMA,
            "user": TEXT_SCHEMA,
            "priority": {"enum": [*map(str, range(10)), *PRIORITY_WORDS]},
            **_PAGE,
        },
        answers={200: _gives(models.RunListAnswer, "a page of runs")},
    ),
    Operation(
        method="GET",
        path=_RUN,
        name="getRun",
        summary="One run, with its place in line while it is queued",
        answers={200: _gives(models.RunAnswer, "the run")},
    ),
    Operation(
        method="POST",
        path=_RUN + "/cancel",
        name="cancelRun",
        summary="Cancel a run; one that has ended stays as it is",
        body=requests.CancelRequest,
        body_optional=True,
        answers={200: _gives(models.RunAnswer, "the run as it is now")},
    ),
    Operation(
        method="GET",
        path=_RUN + "/events",
        name="listRunEvents",
        summary="A run's events: a list, or with Accept: text/event-stream a stream, which takes `after` alone",
        query={"after": _AFTER, **_PAGE},
        headers={"Last-Event-ID": {**_AFTER, "description": "of a stream: go on after this event"}},
        answers={
            200: Answer(
                means="a page of the events so far, or the stream, which ends after run.finished",
                content={JSON: models.EventListAnswer, EVENTS: TEXT_SCHEMA},
            ),
            204: Answer(means="of a stream: the run has ended and the caller has seen everything"),
        },
    ),
    Operation(
        method="GET",
        path=_RUN + "/log",
        name="getRunLog",
        summary="A run's output, so far or followed until its end",
        query={"follow": {"enum": ["true", "false"], "default": "false"}},
        answers={200: Answer(means="the output", content={TEXT: TEXT_SCHEMA})},
    ),
    Operation(
        method="GET",
        path=_RUN + "/artifacts/{name}",
        name="getArtifact",
        summary="A file that the run left",
        here=False,
        answers={
            200: Answer(means="its bytes, as the media type of the artifact", content={BINARY: {}}),
            206: Answer(means="the asked Range of its bytes", content={BINARY: {}}),
            416: Answer(means="the file has no such Range", content={TEXT: TEXT_SCHEMA}),
        },
    ),
    Operation(
        method="GET",
        path=_TENANT + "/receipts/{receiptId}",
        name="getReceipt",
        summary="The record of one decision: what was asked and seen, what was decided and why",
        answers={200: _gives(models.ReceiptAnswer, "the receipt")},
    ),
    Operation(
        method="GET",
        path="/tenants",
        name="listTenants",
        summary="Tenants that the caller sees",
        query=_PAGE,
        answers={200: _gives(models.TenantListAnswer, "a page of tenants")},
    ),
    Operation(
        method="GET",
        path=_TENANT,
        name="getTenant",
        summary="One tenant",
        answers={200: _gives(models.TenantAnswer, "the tenant")},
    ),
    Operation(
        method="GET",
        path="/admin/slots",
        name="listSlots",
        summary="Who holds what (operators)",
        answers={200: _gives(models.SlotsAnswer, "every scope with its holders")},
    ),
    Operation(
        method="POST",
        path="/admin/audit",
        name="audit",
        summary="Recount every scope, list what does not add up and, only when asked to, repair it (operators)",
        body=requests.AuditRequest,
        body_optional=True,
        answers={200: _gives(models.AuditAnswer, "what was found; after a repair, what it did and what still stands")},
    ),
    Operation(
        method="GET",
        path="/healthz",
        name="isAlive",
        summary="Whether the process answers",
        here=False,
        answers={200: _gives(models.AliveAnswer, "it does")},
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="isReady",
        summary="Whether work would be taken now",
        here=False,
        answers={
            200: _gives(models.ReadyAnswer, "yes"),
            503: _gives(models.ReadyAnswer, "no, and which check failed", "Retry-After"),
        },
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="getOpenapi",
        summary="This document",
        answers={200: Answer(means="OpenAPI 3.1", content={JSON: {"type": "object"}})},
    ),
)
