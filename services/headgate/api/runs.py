"""Views of runs: submit, look, cancel."""

from __future__ import annotations

import re

from headgate.api import cursors
from headgate.api.body import read
from headgate.api.exchange import Ask, Reply, View
from headgate.api.requests import CancelRequest, SubmitRequest
from headgate.api.wire import receipt_json, run_json
from headgate.core.errors import InvalidRequest
from headgate.core.run import Run
from headgate.flow import overview
from headgate.flow.cancel import cancel
from headgate.flow.deps import Deps
from headgate.flow.receipts import find_receipt
from headgate.flow.submit import Answer, Refused
from headgate.web import problems
from headgate.web.feed import OUTPUT, entries_of, sequence_number
from headgate.wiring import System

IDEMPOTENCY_KEY = "Idempotency-Key"
_KEY = re.compile(r"[ -~]{1,255}")


class RunViews:
    """`…/runs` and `…/receipts`."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._deps = system.deps

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {
            "submitRun": self.submit,
            "listRuns": self.list,
            "getRun": self.get,
            "cancelRun": self.cancel,
            "listRunEvents": self.events,
            "getRunLog": self.log,
            "getReceipt": self.receipt,
        }

    def submit(self, ask: Ask) -> Reply:
        """201 it may start, 202 it is in line, or a refusal."""
        key = _idempotency_key(ask)
        asked = read(SubmitRequest, ask.body).submission()
        tenant = ask.path["tenantId"]
        answer = self._system.submitter.submit(ask.caller, tenant, asked, ask.correlation.asking, key)
        return answered(self._deps, answer, ask.correlation.request_id)

    def list(self, ask: Ask) -> Reply:
        """A page of the tenant's runs, newest first."""
        after = None
        if "cursor" in ask.query:
            created_at, run_id = cursors.decoded(ask.query["cursor"], int, str)
            after = (int(created_at), str(run_id))
        filters = {name: value for name, value in ask.query.items() if name in overview.FILTERS}
        page = overview.list_runs(self._deps, ask.caller, ask.path["tenantId"], filters, ask.limit, after)
        cursor = None if page.after is None else cursors.encoded(*page.after)
        lines = overview.lines_of(self._deps, page.runs)
        return Reply(body={"items": [run_json(run, lines.get(run.id)) for run in page.runs], "nextCursor": cursor})

    def get(self, ask: Ask) -> Reply:
        """One run."""
        return Reply(body=self._json(self._run(ask)))

    def cancel(self, ask: Ask) -> Reply:
        """The run, cancelled if it had not ended."""
        read(CancelRequest, ask.body, optional=True)
        run = cancel(self._deps, self._system.dispatcher, ask.caller, ask.path["tenantId"], ask.path["runId"])
        return Reply(body=self._json(run))

    def events(self, ask: Ask) -> Reply:
        """A page of what happened so far; as a stream it is web.streams' business."""
        after = sequence_number(ask.query.get("after", "0"), "after")
        if "cursor" in ask.query:
            after = max(after, int(cursors.decoded(ask.query["cursor"], int)[0]))
        limit = ask.limit
        found = entries_of(self._deps, self._run(ask), after, limit + 1)
        cursor = cursors.encoded(found[limit - 1].seq) if len(found) > limit else None
        return Reply(body={"items": [entry.as_json() for entry in found[:limit]], "nextCursor": cursor})

    def log(self, ask: Ask) -> Reply:
        """The whole output so far; to follow it is web.streams' business, of which only a HEAD comes here."""
        if ask.query.get("follow", "false") not in ("true", "false"):
            raise InvalidRequest("follow must be true or false.", field="follow")
        entries = entries_of(self._deps, self._run(ask), 0)
        return Reply(body="".join(str(entry.data["text"]) for entry in entries if entry.type == OUTPUT))

    def receipt(self, ask: Ask) -> Reply:
        """The record of one decision."""
        found = find_receipt(self._deps, ask.caller, ask.path["tenantId"], ask.path["receiptId"])
        return Reply(body=receipt_json(found))

    def _run(self, ask: Ask) -> Run:
        return overview.find_run(self._deps, ask.caller, ask.path["tenantId"], ask.path["runId"])

    def _json(self, run: Run) -> dict[str, object]:
        return run_json(run, overview.line_of(self._deps, run))


def answered(deps: Deps, answer: Answer, request_id: str) -> Reply:
    """How a submission is answered: accepted with its run, or refused."""
    if isinstance(answer, Refused):
        problem = problems.of_refusal(answer.refusal, answer.receipt_id, request_id)
        return Reply(status=problem.status, body=problem.body, headers=problem.headers)
    run = answer.run
    headers = {"Location": f"/tenants/{run.tenant}/runs/{run.id}"}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    body = run_json(run, overview.line_of(deps, run)) | {"receiptId": answer.receipt_id}
    return Reply(status=answer.status, body=body, headers=headers)


def _idempotency_key(ask: Ask) -> str | None:
    key = ask.headers.get(IDEMPOTENCY_KEY.lower())
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(f"{IDEMPOTENCY_KEY} must be 1 to 255 printable ASCII characters.", field=IDEMPOTENCY_KEY)
    return key
