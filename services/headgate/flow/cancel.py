"""Cancel, and the start deadline: ends of runs that no worker reports."""

from __future__ import annotations

from headgate.core.access import Caller, Permission
from headgate.core.errors import Forbidden, NotFound
from headgate.core.lifecycle import Change
from headgate.core.run import LIVE, Run, RunState
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.fleet import deal_all
from headgate.flow.ledger import Ledger
from headgate.store.transaction import Tx


def cancel(deps: Deps, dispatcher: Dispatcher, caller: Caller, tenant_id: str, run_id: str) -> Run:
    """The caller's run, cancelled; one that has ended stays as it is. Raises NotFound, Forbidden.

    A running run's slots are free at once; its worker learns it by its next heartbeat and kills the process.
    """
    if not caller.sees(tenant_id):
        raise _missing(run_id)
    if not caller.may(Permission.RUNS_WRITE):
        raise Forbidden(f"Cancelling runs needs the permission runs:write, which {caller.role} does not have.")
    run = cancel_run(deps, tenant_id, run_id)
    dispatcher.dispatch()
    return run


def cancel_run(deps: Deps, tenant_id: str, run_id: str, only: frozenset[RunState] = LIVE) -> Run:
    """Cancel if the run is in one of the states; the run as it is then. Idempotent. Raises NotFound."""
    return _end(deps, tenant_id, run_id, Change.CANCEL, only)


def expire_run(deps: Deps, tenant_id: str, run_id: str) -> Run:
    """End a run whose start deadline has passed, unless it has started meanwhile."""
    return _end(deps, tenant_id, run_id, Change.EXPIRE, frozenset({RunState.QUEUED}))


def _end(deps: Deps, tenant_id: str, run_id: str, change: Change, only: frozenset[RunState]) -> Run:
    def body(tx: Tx) -> tuple[Run, set[str], bool]:
        ledger = Ledger.open(tx, tenant_id, deps.policy)
        run = tx.get(Run, run_id)
        if run is None or run.tenant != tenant_id:
            raise _missing(run_id)
        late = change is Change.EXPIRE and (run.start_by is None or run.start_by > tx.now)
        if run.state not in only or late:
            return run, set(), False
        after = ledger.end(run, change)
        ledger.close()
        return after, ledger.settling, True

    run, settling, changed = deps.store.transact(body, tenant_id)
    if changed:
        deps.changes.announce(run_id)
        deps.telemetry.info(f"run.{run.state}", run_id=run_id, tenant=tenant_id, request_id=run.request_id)
        deal_all(deps, settling)
    return run


def _missing(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id!r}.")
