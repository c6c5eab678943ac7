"""Revoke: pending runs of a paused subject go back in line and free their slots. The second phase of every pause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headgate.core.admission import gate_mode
from headgate.core.lifecycle import Change
from headgate.core.run import Run, RunState
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.flow.deps import Deps
from headgate.flow.ledger import Ledger
from headgate.store.documents import where
from headgate.store.transaction import Torn, Tx

PAGE = 100

Still = Callable[[Tenant, Shard], bool]
"""Whether the pause that asked still stands, judged by what this very commit relies on."""


def revoke_all(deps: Deps, conditions: tuple[tuple[str, str, Any], ...], still: Still) -> frozenset[str]:
    """Give back every pending run that matches, as long as its pause stands. Wide scopes met while settling are returned.

    A claim that wins the race precedes the pause's answer; after this returns nothing of the subject starts.
    """
    settling: set[str] = set()
    seen: set[str] = set()
    while True:
        query = where(Run, ("state", "==", "pending"), *conditions, order=("created_at",), limit=PAGE + len(seen))
        fresh = [run for run in deps.store.query(Run, query) if run.id not in seen]
        for run in fresh:
            settling |= revoke(deps, run, still)
            seen.add(run.id)
        if len(fresh) < PAGE:
            return frozenset(settling)


def revoke(deps: Deps, run: Run, still: Still) -> set[str]:
    """Give back one pending run, or leave it if it was claimed or its pause no longer stands."""

    def body(tx: Tx) -> set[str]:
        ledger = Ledger.open(tx, run.tenant, deps.policy)
        now = tx.get(Run, run.id)
        if now is None or now.state is not RunState.PENDING or now.shards.system is None:
            return set()
        shard = tx.get(Shard, now.shards.system)
        if shard is None:
            raise Torn(f"shard {now.shards.system} is gone")
        if not still(ledger.tenant, shard):
            return set()
        if gate_mode(ledger.tenant, now, shard.closed) in ("drain", "drain_cancel"):
            ledger.end(now, Change.CANCEL)
        else:
            ledger.put_back(now, Change.REVOKE, deps.timing.random())
        ledger.close()
        return ledger.settling

    settling = deps.store.transact(body, run.tenant)
    deps.changes.announce(run.id)
    return settling
