"""Cancel every unfinished run of a tenant that matches. Several a commit; each is looked at again in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from headgate.core.access import Caller, Permission
from headgate.core.errors import Forbidden, NotFound
from headgate.core.lifecycle import Change
from headgate.core.run import LIVE, Run
from headgate.core.tenant import Tenant
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.fleet import deal_all
from headgate.flow.ledger import Ledger
from headgate.store.transaction import Tx

MOST = 500
"""Runs that one call cancels, at most."""
A_COMMIT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which: fields of a run and what they must be. `state` None = any that is not final."""

    state: str | None = None
    equal: Mapping[str, object] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def matches(self, run: Run) -> bool:
        """Whether it is one of them, as it is now."""
        state = run.state in LIVE if self.state is None else run.state == self.state
        fields = all(getattr(run, name) == value for name, value in self.equal.items())
        return state and fields and self.labels.items() <= run.labels.items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Which were cancelled, and whether others match besides."""

    runs: Sequence[str]
    more: bool


def cancel_all(deps: Deps, dispatcher: Dispatcher, caller: Caller, tenant_id: str, wanted: Wanted) -> Cancelled:
    """Cancel up to 500 runs that match, oldest ids first. Raises NotFound, Forbidden.

    If we die half-way, some are cancelled and some are not: the same call goes on.
    """
    if not caller.sees(tenant_id) or deps.store.get(Tenant, tenant_id) is None:
        raise NotFound(f"There is no tenant {tenant_id!r}.")
    if not caller.may(Permission.RUNS_WRITE):
        raise Forbidden(f"Cancelling runs needs the permission runs:write, which {caller.role} does not have.")
    found = list(islice(_found(deps, tenant_id, wanted), MOST + 1))
    done: list[str] = []
    for start in range(0, min(len(found), MOST), A_COMMIT):
        done += _cancel(deps, tenant_id, found[start : min(start + A_COMMIT, MOST)], wanted)
    dispatcher.dispatch()
    deps.telemetry.info("runs.cancelled", tenant=tenant_id, runs=len(done), credential=caller.credential)
    return Cancelled(runs=done, more=len(found) > MOST)


def _found(deps: Deps, tenant_id: str, wanted: Wanted) -> Iterator[str]:
    states = sorted(LIVE) if wanted.state is None else [wanted.state]
    for run in deps.store.every(Run, ("tenant", "==", tenant_id), ("state", "in", states)):
        if wanted.matches(run):
            yield run.id


def _cancel(deps: Deps, tenant_id: str, run_ids: Sequence[str], wanted: Wanted) -> list[str]:
    def body(tx: Tx) -> tuple[list[str], set[str]]:
        tx.prefetch((Tenant, tenant_id), *((Run, run_id) for run_id in run_ids))
        ledger = Ledger.open(tx, tenant_id, deps.policy)
        runs = [run for run_id in run_ids if (run := tx.get(Run, run_id)) is not None and wanted.matches(run)]
        for run in runs:
            ledger.end(run, Change.CANCEL)
        if runs:
            ledger.close()
        return [run.id for run in runs], ledger.settling

    done, settling = deps.store.transact(body, tenant_id)
    deps.changes.announce(*done)
    deal_all(deps, settling)
    return done
