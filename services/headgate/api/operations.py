"""The table of contents of the API: every operation, what it takes, and everything it can answer.

The routes are made from this table, and so is the OpenAPI document: neither can drift from the other.
"""

from __future__ import annotations

from headgate.api import models, requests
from headgate.api.insight_operations import REPORTS, WHY
from headgate.api.key_operations import KEYS
from headgate.api.limit_operations import AUDIT_LOG, LIMITS
from headgate.api.metrics import METRICS
from headgate.api.operation import (
    BINARY,
    EITHER,
    EVENTS,
    JSON,
    PAGE,
    RUN,
    TENANT,
    TEXT,
    TEXT_SCHEMA,
    Answer,
    Operation,
    Schema,
    gives,
    refuses,
)
from headgate.api.pressure_operations import PRESSURE
from headgate.api.switch_operations import BULK, DEAD_LETTERS, SWITCHES
from headgate.core.policy import PRIORITY_WORDS
from headgate.core.run import RunState

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
        path=TENANT + "/runs",
        name="submitRun",
        summary="Submit a run",
        body=requests.SubmitRequest,
        headers={"Idempotency-Key": _KEY},
        answers={
            201: gives(models.RunAnswer, "admitted: it starts now", "Location", "Idempotency-Replayed"),
            202: gives(models.RunAnswer, "in line", "Location", "Idempotency-Replayed"),
            403: Answer(
                means="the tenant is suspended or deactivated, or the role does not allow it",
                content={JSON: EITHER},
            ),
            409: refuses("onLimit skip, and an unfinished run has the concurrencyKey"),
            422: Answer(
                means="it can never fit, or the Idempotency-Key was used for another body",
                content={JSON: EITHER},
            ),
            429: refuses("a limit is reached"),
            503: Answer(
                means="paused, draining, overloaded, or the store or the broker does not answer",
                content={JSON: EITHER},
                headers=("Retry-After",),
            ),
        },
    ),
    Operation(
        method="GET",
        path=TENANT + "/runs",
        name="listRuns",
        summary="List runs, newest first",
        query={
            "state": {"enum": [str(state) for state in RunState]},
            "kind": TEXT_SCHEMA,
            "repo": TEXT_SCHEMA,
            "org": TEXT_SCHEMA,
            "user": TEXT_SCHEMA,
            "priority": {"enum": [*map(str, range(10)), *PRIORITY_WORDS]},
            **PAGE,
        },
        answers={200: gives(models.RunListAnswer, "a page of runs")},
    ),
    Operation(
        method="GET",
        path=RUN,
        name="getRun",
        summary="One run, with its place in line while it is queued",
        answers={200: gives(models.RunAnswer, "the run")},
    ),
    Operation(
        method="POST",
        path=RUN + "/cancel",
        name="cancelRun",
        summary="Cancel a run; one that has ended stays as it is",
        body=requests.CancelRequest,
        body_optional=True,
        answers={200: gives(models.RunAnswer, "the run as it is now")},
    ),
    Operation(
        method="GET",
        path=RUN + "/events",
        name="listRunEvents",
        summary="A run's events: a list, or with Accept: text/event-stream a stream, which takes `after` alone",
        query={"after": _AFTER, **PAGE},
        headers={"Last-Event-ID": {**_AFTER, "description": "of a stream: go on after this event"}},
        answers={
            200: Answer(
                means="a page of the events so far; or the stream, which ends after run.finished and, while the run is queued, "
                "also tells its place as run.line, without an id",
                content={JSON: models.EventListAnswer, EVENTS: TEXT_SCHEMA},
            ),
            204: Answer(means="of a stream: the run has ended and the caller has seen everything"),
        },
    ),
    Operation(
        method="GET",
        path=RUN + "/log",
        name="getRunLog",
        summary="A run's output, so far or followed until its end",
        query={"follow": {"enum": ["true", "false"], "default": "false"}},
        answers={200: Answer(means="the output", content={TEXT: TEXT_SCHEMA})},
    ),
    Operation(
        method="GET",
        path=RUN + "/artifacts/{name}",
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
        path=TENANT + "/receipts/{receiptId}",
        name="getReceipt",
        summary="The record of one decision: what was asked and seen, what was decided and why",
        answers={200: gives(models.ReceiptAnswer, "the receipt")},
    ),
    Operation(
        method="GET",
        path="/tenants",
        name="listTenants",
        summary="Tenants that the caller sees",
        query=PAGE,
        answers={200: gives(models.TenantListAnswer, "a page of tenants")},
    ),
    Operation(
        method="GET",
        path=TENANT,
        name="getTenant",
        summary="One tenant",
        answers={200: gives(models.TenantAnswer, "the tenant")},
    ),
    Operation(
        method="GET",
        path="/admin/slots",
        name="listSlots",
        summary="Who holds what (operators)",
        answers={200: gives(models.SlotsAnswer, "every scope with its holders")},
    ),
    Operation(
        method="POST",
        path="/admin/audit",
        name="audit",
        summary="Recount every scope, list what does not add up and, only when asked to, repair it (operators)",
        body=requests.AuditRequest,
        body_optional=True,
        answers={200: gives(models.AuditAnswer, "what was found; after a repair, what it did and what still stands")},
    ),
    *WHY,
    *REPORTS,
    *BULK,
    *SWITCHES,
    *PRESSURE,
    *METRICS,
    *KEYS,
    *DEAD_LETTERS,
    *LIMITS,
    *AUDIT_LOG,
    Operation(
        method="GET",
        path="/healthz",
        name="isAlive",
        summary="Whether the process answers",
        here=False,
        answers={200: gives(models.AliveAnswer, "it does")},
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="isReady",
        summary="Whether work would be taken now",
        here=False,
        answers={
            200: gives(models.ReadyAnswer, "yes"),
            503: gives(models.ReadyAnswer, "no, and which check failed", "Retry-After"),
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
