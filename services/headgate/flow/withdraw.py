"""Withdraw: a submission was committed, and then the broker did not take its message. It is taken back and answered 503.

If the process dies before, the run is pending, as after any death between commit and publish: the sweep publishes it.
"""

from __future__ import annotations

from dataclasses import replace

from headgate.core.errors import Code
from headgate.core.lifecycle import Change
from headgate.core.run import Run, RunError, RunState
from headgate.flow.broker import AWAY, unavailable
from headgate.flow.deps import Deps
from headgate.flow.fleet import deal_all
from headgate.flow.ledger import Ledger, put_run
from headgate.store.documents import IdempotencyRecord
from headgate.store.transaction import Tx


def withdraw(deps: Deps, run: Run, key: str | None) -> Run | None:
    """Take back a run whose message was not taken, as if it had never been submitted: its slots, its month's count, its
    Idempotency-Key (by its record's id). None; or the run that stands, as the message has arrived all the same.

    Raises Unavailable when the store does not say whether it was withdrawn: the same Idempotency-Key finds out.
    """

    def body(tx: Tx) -> tuple[Run | None, set[str]]:
        ledger = Ledger.open(tx, run.tenant, deps.policy)
        now = tx.get(Run, run.id)
        if now is None or not _as_published(now, run):
            return now, set()
        _undo(ledger, now, key)
        ledger.close()
        return None, ledger.settling

    stands, settling = deps.store.transact(body, run.tenant)
    if stands is None:
        deps.changes.announce(run.id)
        deps.telemetry.warning("run.withdrawn", run_id=run.id, tenant=run.tenant, request_id=run.request_id)
        deal_all(deps, settling)
    return stands


def pin(deps: Deps, run: Run) -> Run:
    """The run, which its key (or its retry) is about to tell somebody else: from now on it is not withdrawn.

    Raises Unavailable if it was already.
    """

    def body(tx: Tx) -> Run | None:
        now = tx.get(Run, run.id)
        if now is None or not _as_published(now, run):
            return now
        after = replace(
            now, publishes=now.publishes + 1
        )  # what `withdraw` looks at; the sweep publishes it when overdue
        put_run(tx, after, deps.policy)
        return after

    fresh = run.state is RunState.PENDING and (run.event_seq, run.publishes) == (1, 1)  # its publish may be under way
    stands = deps.store.transact(body, f"run:{run.id}") if fresh else run
    if stands is None or (stands.error is not None and stands.error.code == Code.BROKER_UNAVAILABLE):
        raise unavailable()
    return stands


def _as_published(now: Run, run: Run) -> bool:
    """Whether nobody has taken it up since, and nobody else's message of it was taken."""
    return (now.state, now.fence, now.publishes) == (RunState.PENDING, run.fence, run.publishes)


def _undo(ledger: Ledger, run: Run, key: str | None) -> None:
    tx = ledger.tx
    ledger.end(run, Change.CANCEL, error=RunError(code=str(Code.BROKER_UNAVAILABLE), message=AWAY))
    if run.retry_of is not None:
        tx.delete(Run, run.id)  # its id follows from the old run's: it must be free for the next try
    record = tx.get(IdempotencyRecord, key) if key is not None else None
    if record is not None and record.run_id == run.id:
        tx.delete(IdempotencyRecord, record.id)
    ledger.uncount(run)
