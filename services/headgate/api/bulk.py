"""Views of many runs at once, and of the retry of one."""

from __future__ import annotations

from typing import Any

from headgate.api.body import as_model, read
from headgate.api.bulk_models import (
    BatchAnswer,
    BatchEnvelope,
    BatchItemAnswer,
    BatchItemRequest,
    CancelledAnswer,
    CancelRunsRequest,
    RetryRequest,
)
from headgate.api.exchange import Ask, Reply, View
from headgate.api.runs import answered
from headgate.core.access import Permission
from headgate.core.errors import HeadgateError
from headgate.core.policy import OnLimit
from headgate.flow.cancel_all import cancel_all
from headgate.flow.overview import find_tenant
from headgate.flow.retry import retry
from headgate.web import problems
from headgate.wiring import System


class BulkViews:
    """`…/runs:batch`, `…/runs:cancel`, `…/runs/{id}/retry`."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._deps = system.deps

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {"submitRuns": self.submit, "cancelRuns": self.cancel, "retryRun": self.retry}

    def submit(self, ask: Ask) -> Reply:
        """Each run is decided on alone, one after the other: the first ones get the slots."""
        find_tenant(self._deps, ask.caller, ask.path["tenantId"])
        ask.require(Permission.RUNS_WRITE)
        runs = read(BatchEnvelope, ask.body).runs
        return Reply(body=BatchAnswer(items=[self._one(ask, run) for run in runs]).as_json())

    def _one(self, ask: Ask, run: dict[str, Any]) -> BatchItemAnswer:
        """As if it had been sent alone, what goes wrong included."""
        request_id = ask.correlation.request_id
        try:
            asked = as_model(BatchItemRequest, run)
            answer = self._system.submitter.submit(
                ask.caller, ask.path["tenantId"], asked.submission(), ask.correlation.asking, asked.idempotency_key
            )
            return item_of(answered(self._deps, answer, request_id))
        except HeadgateError as error:
            return item_of_error(error, request_id)

    def cancel(self, ask: Ask) -> Reply:
        """Up to 500 that match."""
        wanted = read(CancelRunsRequest, ask.body).filter.wanted()
        done = cancel_all(self._deps, self._system.dispatcher, ask.caller, ask.path["tenantId"], wanted)
        return Reply(body=CancelledAnswer(cancelled=len(done.runs), run_ids=list(done.runs), more=done.more).as_json())

    def retry(self, ask: Ask) -> Reply:
        """The new run, made now or before."""
        asked = read(RetryRequest, ask.body, optional=True)
        on_limit = None if asked.on_limit is None else OnLimit(asked.on_limit)
        path, submitter = ask.path, self._system.submitter
        answer = retry(
            self._deps, submitter, ask.caller, path["tenantId"], path["runId"], ask.correlation.asking, on_limit
        )
        return answered(self._deps, answer, ask.correlation.request_id)


def item_of(reply: Reply) -> BatchItemAnswer:
    """One answer as an item of many."""
    said: Any = reply.body
    good = reply.status < 300
    return BatchItemAnswer(status=reply.status, run=said if good else None, error=None if good else dict(said))


def item_of_error(error: HeadgateError, request_id: str) -> BatchItemAnswer:
    """What went wrong with one, as an item of many."""
    problem = problems.of_error(error, request_id)
    return item_of(Reply(status=problem.status, body=problem.body))
