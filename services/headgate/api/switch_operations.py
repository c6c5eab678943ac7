"""The table's part for operators' switches, for many runs at once, and for dead letters."""

from __future__ import annotations

from headgate.api import bulk_models, models, switch_models
from headgate.api.operation import (
    EITHER,
    JSON,
    PAGE,
    RUN,
    TENANT,
    TEXT_SCHEMA,
    Answer,
    Operation,
    Schema,
    gives,
    refuses,
)

_MISSING = gives(models.ErrorAnswer, "there is no such scope, or not for this caller")
_SCOPE: Schema = {"type": "string", "description": "kind:K, tenant:T, user:T/U, org:T/O or repo:T/O/NAME"}
_LETTER: dict[str, Schema] = {
    "tenantId": TEXT_SCHEMA,
    "runId": TEXT_SCHEMA,
    **{name: {"enum": list(words)} for name, words in switch_models.LETTER_WORDS.items()},
}

BULK: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path=RUN + "/retry",
        name="retryRun",
        summary="Ask again for what an ended run asked for; the same call twice gives the same new run",
        body=bulk_models.RetryRequest,
        body_optional=True,
        answers={
            201: gives(models.RunAnswer, "admitted: it starts now", "Location", "Idempotency-Replayed"),
            202: gives(models.RunAnswer, "in line", "Location", "Idempotency-Replayed"),
            403: Answer(means="the tenant is suspended or deactivated, or not allowed", content={JSON: EITHER}),
            409: gives(models.ErrorAnswer, "the run has not ended"),
            422: Answer(means="it can never fit any more", content={JSON: EITHER}),
            429: refuses("a limit is reached; ask again later"),
            503: Answer(
                means="paused, draining, overloaded, or the store or the broker does not answer",
                content={JSON: EITHER},
                headers=("Retry-After",),
            ),
        },
    ),
    Operation(
        method="POST",
        path=TENANT + "/runs:batch",
        name="submitRuns",
        summary="Submit up to 100 runs, in their order, each with an answer of its own",
        body=bulk_models.BatchRequest,
        answers={200: gives(bulk_models.BatchAnswer, "what each would have been answered alone")},
    ),
    Operation(
        method="POST",
        path=TENANT + "/runs:cancel",
        name="cancelRuns",
        summary="Cancel all unfinished runs that match a filter, up to 500 a call",
        body=bulk_models.CancelRunsRequest,
        answers={200: gives(bulk_models.CancelledAnswer, "how many were cancelled, and which")},
    ),
)

SWITCHES: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path=TENANT + "/pause",
        name="pauseTenant",
        summary="Pause the tenant: after the answer nothing of it starts",
        body=switch_models.PauseTenantRequest,
        body_optional=True,
        answers={200: gives(models.TenantAnswer, "the tenant, paused")},
    ),
    Operation(
        method="POST",
        path=TENANT + "/resume",
        name="resumeTenant",
        summary="End the tenant's pause",
        body=switch_models.ResumeTenantRequest,
        body_optional=True,
        answers={200: gives(models.TenantAnswer, "the tenant")},
    ),
    Operation(
        method="PUT",
        path=TENANT + "/status",
        name="setTenantStatus",
        summary="Suspend a tenant, deactivate it, or take it back (operators)",
        body=switch_models.StatusRequest,
        answers={200: gives(models.TenantAnswer, "the tenant")},
    ),
    Operation(
        method="GET",
        path="/admin/pauses",
        name="listPauses",
        summary="Every pause that stands; a tenant's key sees those of its own scopes",
        query=PAGE,
        answers={200: gives(switch_models.PauseListAnswer, "a page of pauses")},
    ),
    Operation(
        method="POST",
        path="/admin/pauses",
        name="pauseScope",
        summary="Pause a kind (operators), a tenant, or a user, organisation or repository of it",
        body=switch_models.PauseRequest,
        answers={200: gives(switch_models.ScopePauseAnswer, "the pause"), 404: _MISSING},
    ),
    Operation(
        method="DELETE",
        path="/admin/pauses",
        name="resumeScope",
        summary="End the pause of a scope",
        query={"scope": _SCOPE},
        answers={200: gives(switch_models.ResumedAnswer, "it is not paused now"), 404: _MISSING},
    ),
    Operation(
        method="GET",
        path="/admin/draining",
        name="getDraining",
        summary="The system's mode, and how far a drain has come (operators)",
        answers={200: gives(switch_models.DrainingAnswer, "the mode")},
    ),
    Operation(
        method="PUT",
        path="/admin/draining",
        name="setDraining",
        summary="Drain the system, put it under maintenance, or take it back to normal (operators)",
        body=switch_models.DrainingRequest,
        answers={200: gives(switch_models.DrainingAnswer, "the mode, in force")},
    ),
)

DEAD_LETTERS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/admin/dead-letters",
        name="listDeadLetters",
        summary="Messages that were given up, newest first (operators)",
        query={**_LETTER, **PAGE},
        answers={200: gives(switch_models.DeadLetterListAnswer, "a page of dead letters")},
    ),
    Operation(
        method="GET",
        path="/admin/dead-letters/{deadLetterId}",
        name="getDeadLetter",
        summary="One dead letter; looking changes nothing (operators)",
        answers={200: gives(switch_models.DeadLetterAnswer, "the dead letter")},
    ),
    Operation(
        method="POST",
        path="/admin/dead-letters/replay",
        name="replayDeadLetters",
        summary="Do again what was given up: a new run for one that has ended, the message for one that waits for it",
        body=switch_models.DeadLettersRequest,
        answers={200: gives(switch_models.DeadLettersDoneAnswer, "what became of each")},
    ),
    Operation(
        method="POST",
        path="/admin/dead-letters/discard",
        name="discardDeadLetters",
        summary="Lay dead letters aside (operators)",
        body=switch_models.DeadLettersRequest,
        answers={200: gives(switch_models.DeadLettersDoneAnswer, "what became of each")},
    ),
)
