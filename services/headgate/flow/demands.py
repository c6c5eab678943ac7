"""What was submitted since a moment, as demands for a replay: from runs, and from the receipts of refusals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from statistics import median
from typing import Any

from headgate.core import whatif
from headgate.core.admission import Request, when_full
from headgate.core.errors import Code, InvalidRequest
from headgate.core.lane import lane_id
from headgate.core.policy import OnLimit
from headgate.core.run import IN_FLIGHT, LIVE, Run, RunState
from headgate.core.scopes import scope_type, split_name
from headgate.core.whatif import Demand, Ground
from headgate.flow.deps import Deps
from headgate.store.documents import D, ReceiptRecord, where
from headgate.store.port import Query

MOST = 100_000
"""Receipts that one replay takes at most."""
AT_ONCE_MS = 100
"""What started within this was not made to wait."""
PAGE = 500
_OF_LIMITS = frozenset(
    {Code.PLAN_LIMIT_CONCURRENCY, Code.SCOPE_LIMIT_CONCURRENCY, Code.QUEUE_FULL, Code.USER_LIMIT_QUEUED}
)


class Reading:
    """What was submitted, from the runs and the receipts of refusals."""

    def __init__(self, deps: Deps, ground: Ground, since: int, now: int) -> None:
        self._deps = deps
        self._ground = ground
        self._since = since
        self._now = now
        self._holds: dict[str, list[int]] = defaultdict(list)

    def demands(self) -> Iterator[Demand]:
        """In the order of time; those before `since` are there for the slots they held. Raises InvalidRequest."""
        found: list[Demand] = []
        for demand in chain(self._accepted(), self._refused()):
            found.append(demand)
            if len(found) > MOST:
                raise InvalidRequest(
                    f"since reaches over more than {MOST:,} receipts: give a later one.", field="since"
                )
        for demand in sorted(found, key=lambda demand: (demand.at, demand.run.id)):
            yield demand if demand.hold else replace(demand, hold=self._usual(demand.run.kind))

    def _accepted(self) -> Iterator[Demand]:
        for run in self._runs():
            if run.receipts:  # without any it is of an older version, and nothing is known of its decision
                yield self._of_run(run)

    def _runs(self) -> Iterator[Run]:
        for tenant in self._ground.tenants:
            of_it = (("tenant", "==", tenant), ("created_at", ">=", self._since))
            yield from self._pages(Run, where(Run, *of_it, order=("created_at",), limit=PAGE), "created_at")
        ended = where(Run, ("finished_at", ">=", self._since), order=("finished_at",), limit=PAGE)
        older = {run.id: run for run in self._pages(Run, ended, "finished_at") if run.created_at < self._since}
        for state in sorted(LIVE):
            live = self._deps.store.every(Run, ("state", "==", state))
            older |= {run.id: run for run in live if run.created_at < self._since}
        yield from older.values()

    def _refused(self) -> Iterator[Demand]:
        for tenant in self._ground.tenants:
            of_it = (("tenant", "==", tenant), ("at", ">=", self._since))
            query = where(ReceiptRecord, *of_it, order=("at",), limit=PAGE)
            yield from map(self._of_refusal, self._pages(ReceiptRecord, query, "at"))

    def _pages(self, cls: type[D], query: Query, by: str) -> Iterator[D]:
        """All of them, page by page, in the order of the field `by`."""
        while True:
            page = self._deps.store.query(cls, query)
            yield from page
            if len(page) < PAGE:
                return
            last: Any = page[-1]
            query = replace(query, after=(getattr(last, by), last.id))

    def _usual(self, kind: str) -> int:
        """What a run of the kind usually takes (ms), for those that never ran."""
        known = self._holds[kind]
        return round(median(known)) if known else round(self._deps.policy.execution.expected_seconds * 1000)

    # --- one run

    def _of_run(self, run: Run) -> Demand:
        due = max(run.created_at, run.not_before or 0)
        started = _started(run)
        held = _held(run, started, self._now)
        if held and run.state not in IN_FLIGHT:
            self._holds[run.kind].append(held)
        before = run.created_at < self._since
        held_at = started if before and started is not None and started < self._since else None
        waited = max(0, (started or run.finished_at or self._now) - due)
        return Demand(
            run=_stripped(run),
            at=run.created_at,
            due=due,
            hold=held,
            on_limit=self._said(run, run.receipts[0]),
            left=run.finished_at if started is None else None,
            held_at=held_at,
            counted=not before,
            told=whatif.WAITED if waited > AT_ONCE_MS else whatif.ADMITTED,
            waited=waited if waited > AT_ONCE_MS else 0,
        )

    def _said(self, run: Run, receipt: Mapping[str, object]) -> OnLimit | None:
        """Its onLimit, as far as what happened tells: another than the usual word for the scope that was full."""
        binding, refused = str(receipt["binding"] or ""), receipt["outcome"] == "refuse"
        if not binding or (not refused and receipt["outcome"] != "queue"):
            return None
        said = OnLimit.REJECT if refused else OnLimit.QUEUE
        usual = when_full(Request(run=run), self._ground.tenants[run.tenant], binding, self._ground.policy)
        return None if usual is said else said

    def _of_refusal(self, record: ReceiptRecord) -> Demand:
        body, code = record.body, record.body["code"]
        run = self._run_of(record)
        of_scope = code in (Code.PLAN_LIMIT_CONCURRENCY, Code.SCOPE_LIMIT_CONCURRENCY)
        line = OnLimit.QUEUE if code in (Code.QUEUE_FULL, Code.USER_LIMIT_QUEUED) else None
        return Demand(
            run=run,
            at=record.at,
            due=record.at,
            hold=0,
            on_limit=self._said(run, body) if of_scope else line,
            fixed=code not in _OF_LIMITS,
            told=whatif.REFUSED,
            times=int(body.get("count", 1)),
        )

    def _run_of(self, record: ReceiptRecord) -> Run:
        """The run that was not made, as far as its receipt tells: its scopes; priority and duration are the usual ones."""
        named = {scope_type(str(scope["scope"])): str(scope["scope"]) for scope in record.body["scopes"]}
        user, org, repo = (_local(named[k]) if k in named else None for k in ("user", "org", "repo"))
        plan = self._ground.policy.plan(self._ground.tenants[record.tenant].plan)
        kind = named.get("kind", "kind:").partition(":")[2]
        run = Run(id=record.id, tenant=record.tenant, kind=kind, input="", created_at=record.at, state=RunState.QUEUED,
                  priority=plan.default_priority, limits=plan.run_limits, user=user, org=org, repo=repo)  # fmt: skip
        return _stripped(run)


def _local(scope: str) -> str:
    return split_name(scope)[1].partition(":")[2]


def _stripped(run: Run) -> Run:
    """What decides of a run; without its history, for there may be many."""
    return Run(id=run.id, tenant=run.tenant, kind=run.kind, input="", created_at=run.created_at, state=RunState.QUEUED,
               priority=run.priority, user=run.user, org=run.org, repo=run.repo, limits=run.limits,
               lane=run.lane or lane_id(run.tenant, run.affiliation, run.kind))  # fmt: skip


def _started(run: Run) -> int | None:
    """When it first took its slots: the moment of its first receipt that admits it."""
    admitted = [int(str(receipt["at"])) for receipt in run.receipts if receipt["outcome"] == "admit"]
    return admitted[0] if admitted else run.started_at


def _held(run: Run, started: int | None, now: int) -> int:
    """How long it held its slots, over all attempts (ms); 0 = it never did. What still holds has so far."""
    if started is None:
        return 0
    total, since = 0, None
    for event in run.events:
        if event.type == "run.pending":
            since = event.at if since is None else since
        elif event.type in ("run.queued", "run.finished") and since is not None:
            total, since = total + event.at - since, None
    if since is not None:
        total += now - since
    return max(1, total or (run.finished_at or now) - started)
