"""Submit: a caller asks for a run; it starts now, waits in line, or is refused. One commit, one receipt."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256

from headgate.core.access import Caller, Permission
from headgate.core.admission import Decision, LineView, Refuse, Request, View, Wait, decide
from headgate.core.errors import Code, Forbidden, IdempotencyMismatch, InvalidRequest, NotFound
from headgate.core.lifecycle import Change, created
from headgate.core.policy import OnLimit
from headgate.core.retry_after import place_of
from headgate.core.run import LIVE, Run, RunState
from headgate.core.scopes import LINE, TENANT
from headgate.core.submission import Submission, body_hash, retry_id, run_of
from headgate.core.tenant import Tenant, blocked
from headgate.core.wide import Shard
from headgate.flow import brakes
from headgate.flow.broker import unavailable
from headgate.flow.deps import Asking, Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.estimates import come_back, told
from headgate.flow.fleet import deal_all
from headgate.flow.ledger import DAY_MS, Ledger, WideSlots
from headgate.flow.receipts import Facts, Receipt, keep_refusal, next_receipt_id, receipt_of, with_receipt
from headgate.flow.wideview import WideFacts, WideUses, look
from headgate.flow.withdraw import pin, withdraw
from headgate.handlers.interface import InvalidInput
from headgate.store.documents import IdempotencyRecord, where
from headgate.store.transaction import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The run as it is now, the receipt of its decision, and the status first answered: 201 or 202."""

    run: Run
    receipt_id: str
    status: int
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why not, and the receipt."""

    refusal: Refuse
    receipt_id: str


Answer = Accepted | Refused


class _TurnedAway(Exception):
    """Ends a submission's body without its writes: refused, with the receipt still to be stored."""

    def __init__(self, refusal: Refuse, facts: Facts) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.facts = facts


class _Replay(Exception):
    """Ends a submission's body: the Idempotency-Key has its answer already."""

    def __init__(self, record: IdempotencyRecord) -> None:
        super().__init__(record.id)
        self.record = record


class _Retried(Exception):
    """Ends a submission's body: the run was retried already, and this is the new one."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.id)
        self.run = run


class Submitter:
    """What submissions of one process share."""

    def __init__(self, deps: Deps, dispatcher: Dispatcher) -> None:
        self._deps = deps
        self._dispatcher = dispatcher
        self._uses = WideUses(deps)

    def submit(
        self,
        caller: Caller,
        tenant_id: str,
        asked: Submission,
        asking: Asking,
        key: str | None = None,
        retry_of: str | None = None,
    ) -> Answer:
        """Decide on one submission; `key` is its Idempotency-Key, `retry_of` the ended run that it asks for again.

        Raises NotFound (no such tenant for this caller), Forbidden, InvalidRequest (field named), IdempotencyMismatch,
        Unavailable (the store or the broker is away). A refusal is an answer, not an error; neither it nor a broker that
        is away consumes the key.
        """
        asked = _as_caller(caller, tenant_id, asked)
        self._check_input(asked)
        self._dispatcher.broker.require()
        run_id = self._deps.ids.new("run") if retry_of is None else retry_id(retry_of)
        idem = _idem_id(tenant_id, key)
        attempt = _Attempt(self._deps, self._uses, self._dispatcher, run_id, tenant_id, asked, asking, idem, retry_of)
        try:
            placed = self._deps.store.transact(attempt.body, tenant_id, weight=len(json.dumps(asked.input)))
        except _TurnedAway as refused:
            return self._refused(refused, tenant_id)
        except _Replay as replay:
            return self._replayed(replay.record)
        except _Retried as retried:
            return _as_first_answered(pin(self._deps, retried.run))
        return self._accepted(placed, idem)

    def _check_input(self, asked: Submission) -> None:
        try:
            self._deps.handler(asked.kind).check(asked.input)
        except InvalidInput as wrong:
            raise InvalidRequest(str(wrong), field=f"input.{wrong.field}") from wrong

    def _accepted(self, placed: _Placed, idem: str | None) -> Accepted:
        deps, run = self._deps, placed.run
        deps.changes.announce(run.id, *placed.cancelled)
        deal_all(deps, placed.settling)
        if run.state is RunState.PENDING:
            deps.telemetry.info("run.admitted", **_facts(run))
            if not self._dispatcher.publish(run):
                run = self._withdrawn(run, idem)
            return Accepted(run=run, receipt_id=str(run.receipts[0]["receiptId"]), status=201)
        deps.telemetry.info("run.queued", **_facts(run), binding=run.receipts[-1]["binding"])
        if run.delayed and run.not_before is not None:
            deps.alarm.arm((run.not_before - run.created_at) / 1000)
        # A place in line is kept whatever the broker does: it needs no message before its turn, which may be now.
        # No barging, no idle slot: whoever is next starts now, which may be this very run.
        promoted = self._dispatcher.dispatch()
        run = promoted.get(run.id) or run
        status = 201 if run.state is RunState.PENDING else 202
        return Accepted(run=run, receipt_id=str(run.receipts[0]["receiptId"]), status=status)

    def _withdrawn(self, run: Run, idem: str | None) -> Run:
        """The run if it stands all the same. Raises Unavailable: the broker did not take it, nothing was accepted."""
        stands = withdraw(self._deps, run, idem)
        if stands is None:
            raise unavailable()
        return stands

    def _refused(self, turned: _TurnedAway, tenant_id: str) -> Refused:
        receipt = receipt_of(turned.facts, self._deps.ids.new("rcpt"), self._deps.policy)
        keep_refusal(self._deps, receipt, tenant_id, turned.facts.at)
        self._deps.telemetry.warning(
            "run.refused",
            reason=str(turned.refusal.code),
            tenant=tenant_id,
            kind=turned.facts.request.run.kind,
            receipt_id=receipt["receiptId"],
            request_id=turned.facts.asking.request_id,
        )
        return Refused(refusal=turned.refusal, receipt_id=str(receipt["receiptId"]))

    def _replayed(self, record: IdempotencyRecord) -> Accepted:
        run = self._deps.store.get(Run, record.run_id)
        if run is None:
            raise NotFound(f"Run {record.run_id} of this Idempotency-Key has been removed by retention.")
        run = pin(self._deps, run)
        return Accepted(run=run, receipt_id=record.receipt_id, status=record.status, replayed=True)


@dataclass(frozen=True, slots=True)
class _Placed:
    """What the commit did: the accepted run, what `cancel_in_progress` ended, the wide scopes that wait for a deal."""

    run: Run
    cancelled: tuple[str, ...]
    settling: set[str]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One submission's body: it may run several times, always with the same run id."""

    deps: Deps
    uses: WideUses
    dispatcher: Dispatcher
    run_id: str
    tenant_id: str
    asked: Submission
    asking: Asking
    idem: str | None
    retry_of: str | None = None

    def body(self, tx: Tx) -> _Placed:
        """Read, decide, write. Raises _TurnedAway, _Replay."""
        ledger = self._open(tx)
        request = self._request(ledger)
        cancelled = self._make_way(ledger, request)
        could_start = not request.delayed and blocked(ledger.tenant, (TENANT, *request.run.scopes)) is None
        facts = look(tx, self.deps, self.uses, request.run, could_start, self.dispatcher.out)
        if (
            cancelled
        ):  # what was freed belongs to whoever is next in line: this run goes behind it, and dispatch decides
            facts = replace(facts, view=replace(facts.view, waiters=True))
        facts = self._braked(ledger, request.run, facts)
        view, decision, line = self._decide(ledger, request, facts)
        if isinstance(decision, Refuse) and decision.retry_after is not None:
            view = replace(view, releases=come_back(self.deps, view.tenant, decision, request.run.kind, tx.now))
            decision = decide(request, view, self.deps.policy)
        basis = self._facts(request, view, decision, tx.now)
        if isinstance(decision, Refuse):
            raise _TurnedAway(decision, basis)
        receipt = receipt_of(basis, next_receipt_id(request.run), self.deps.policy)
        run = self._place(ledger, with_receipt(request.run, receipt), facts, line)
        self._keep_key(tx, run, receipt)
        ledger.tenant = replace(ledger.tenant, month_runs=ledger.tenant.month_runs + 1)
        ledger.close()
        return _Placed(run, cancelled, ledger.settling)

    def _braked(self, ledger: Ledger, run: Run, facts: WideFacts) -> WideFacts:
        """Nobody starts ahead of a pace, or on a host without the memory: dispatch's brakes bind here too."""
        if facts.system is None or facts.kind is None:
            return facts
        pressure = self.deps.policy.pressure
        hold = brakes.held(ledger.tx, self.deps, ledger.tenant, facts.system, run.kind)
        hold = hold or brakes.paused_for(ledger.tenant, run.scopes, ledger.tx.now, pressure)
        hold = hold or brakes.short_of_memory(self.deps, run.limits.memory_bytes, ledger.tx.now)
        return facts if hold is None else replace(facts, view=replace(facts.view, held_back=hold.token))

    def _open(self, tx: Tx) -> Ledger:
        """The tenant, and the answer that the Idempotency-Key may already have."""
        tx.prefetch((Tenant, self.tenant_id), *([(IdempotencyRecord, self.idem)] if self.idem else []))
        ledger = Ledger.open(tx, self.tenant_id, self.deps.policy)
        used = tx.peek(IdempotencyRecord, self.idem) if self.idem else None
        if used is not None and used.expire_at > tx.now:
            if used.body_hash != body_hash(self.asked):
                raise IdempotencyMismatch("This Idempotency-Key was used for another body. Use a new key.")
            raise _Replay(used)
        retried = tx.get(Run, self.run_id) if self.retry_of is not None else None
        if retried is not None:
            raise _Retried(retried)
        return ledger

    def _request(self, ledger: Ledger) -> Request:
        policy = self.deps.policy
        plan = policy.plan(ledger.tenant.plan)
        run = run_of(self.asked, self.run_id, self.tenant_id, plan, policy, ledger.tx.now)
        if run.start_by is not None and run.start_by <= max(ledger.tx.now, run.not_before or 0):
            raise InvalidRequest("startBy must lie in the future and after notBefore.", field="startBy")
        run = replace(run, request_id=self.asking.request_id, trace=dict(self.asking.trace), retry_of=self.retry_of)
        return Request(run=run, on_limit=self.asked.on_limit, delayed=run.delayed, place=place_of(run.id))

    def _make_way(self, ledger: Ledger, request: Request) -> tuple[str, ...]:
        """`concurrencyKey`: skip if an unfinished run has it, or cancel those that do. Safe under the tenant's lock."""
        if request.run.concurrency_key is None or request.on_limit not in (OnLimit.SKIP, OnLimit.CANCEL_IN_PROGRESS):
            return ()
        conditions = (("tenant", "==", self.tenant_id), ("concurrency_key", "==", request.run.concurrency_key))
        unfinished = ledger.tx.hint(Run, where(Run, *conditions, ("state", "in", sorted(LIVE)), order=("created_at",)))
        if unfinished and request.on_limit is OnLimit.SKIP:
            facts = look(ledger.tx, self.deps, self.uses, request.run, False, self.dispatcher.out)
            view = View(tenant=ledger.tenant, wide=facts.view)
            refusal = _skipped(unfinished[0])
            raise _TurnedAway(refusal, self._facts(request, view, refusal, ledger.tx.now))
        for run in unfinished:
            ledger.end(run, Change.CANCEL)
        return tuple(run.id for run in unfinished)

    def _decide(self, ledger: Ledger, request: Request, facts: WideFacts) -> tuple[View, Decision, Shard | None]:
        """The decision; what would wait is decided again with the bounds of the line in view, and a place in it."""
        view = View(tenant=ledger.tenant, wide=facts.view)
        decision = decide(request, view, self.deps.policy)
        if not isinstance(decision, Wait):
            return view, decision, None
        waiting = ledger.user_line(request.run.user).waiting if request.run.user else 0
        line = facts.line or ledger.line_shard(ledger.tx.chance, bound=True)
        # Mode and closed kinds stand in the line's shards too: the shard that is written is the one that binds.
        wide = facts.view
        if line is not None:
            wide = replace(wide, mode=line.mode, closed=line.closed, pressure=line.pressure)
        total = None if line is not None else self.uses.of(LINE).cap
        view = replace(view, wide=wide, line=LineView(free=line is not None, user_waiting=waiting, total=total))
        return view, decide(request, view, self.deps.policy), line

    def _place(self, ledger: Ledger, run: Run, facts: WideFacts, line: Shard | None) -> Run:
        """The run with its slots, or (with a place in the line) waiting."""
        if line is not None:
            before = ledger.tenant
            run = ledger.join_line(run, line)
            run = replace(run, forecast=told(self.deps, before, run, ledger.tx.now, self.uses.of))
        else:
            assert facts.system is not None  # it is admitted, so the decision saw both
            assert facts.kind is not None
            ledger.catch_up(facts.system.v)
            run = ledger.take(replace(run, state=RunState.PENDING), WideSlots(facts.system, facts.kind))
        run = created(run, ledger.tx.now)
        ledger.tx.create(run)
        ledger.put_run(run)
        return run

    def _keep_key(self, tx: Tx, run: Run, receipt: Receipt) -> None:
        if self.idem is None:
            return
        tx.put(
            IdempotencyRecord(
                id=self.idem,
                tenant=self.tenant_id,
                body_hash=body_hash(self.asked),
                run_id=run.id,
                receipt_id=str(receipt["receiptId"]),
                status=201 if run.state is RunState.PENDING else 202,
                expire_at=tx.now + self.deps.policy.retention.idempotency_keys * DAY_MS,
            )
        )

    def _facts(self, request: Request, view: View, decision: Decision, now: int) -> Facts:
        return Facts(request=request, view=view, decision=decision, at=now, asking=self.asking)


def _as_caller(caller: Caller, tenant_id: str, asked: Submission) -> Submission:
    """The submission as this credential may make it: a personal one *is* its user and cannot name another."""
    if not caller.sees(tenant_id):
        raise NotFound(f"There is no tenant {tenant_id!r}.")
    if not caller.may(Permission.RUNS_WRITE):
        raise Forbidden(f"Submitting runs needs the permission runs:write, which {caller.role} does not have.")
    if caller.user is None:
        return asked
    if asked.user not in (None, caller.user):
        raise InvalidRequest(f"This credential is {caller.user!r} and cannot submit for another user.", field="user")
    return replace(asked, user=caller.user)


def _as_first_answered(run: Run) -> Accepted:
    first = run.receipts[0]
    status = 201 if first["outcome"] == "admit" else 202
    return Accepted(run=run, receipt_id=str(first["receiptId"]), status=status, replayed=True)


def _idem_id(tenant_id: str, key: str | None) -> str | None:
    """Per tenant and endpoint."""
    return (
        None if key is None else "idem_" + sha256(f"{len(tenant_id)}:{tenant_id}:runs:{key}".encode()).hexdigest()[:40]
    )


def _skipped(run: Run) -> Refuse:
    return Refuse(
        code=Code.CONCURRENCY_SKIPPED,
        error="Skipped",
        reason=f"Run {run.id} has the same concurrencyKey and is not finished.",
        run_id=run.id,
    )


def _facts(run: Run) -> dict[str, object]:
    return {
        "run_id": run.id,
        "tenant": run.tenant,
        "kind": run.kind,
        "receipt_id": run.receipts[0]["receiptId"] if run.receipts else None,
        "request_id": run.request_id,
    }
