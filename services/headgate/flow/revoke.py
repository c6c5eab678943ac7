"""The second phase of every pause: what it does to the runs that are there. Pending ones go back in line and free their
slots; where the mode says so, pending, queued and running ones are cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from headgate.core.admission import gate_mode
from headgate.core.lifecycle import Change
from headgate.core.pauses import EFFECTS, concerned
from headgate.core.run import LIVE, Run, RunState
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.flow.deps import Deps
from headgate.flow.ledger import Ledger
from headgate.store.documents import where
from headgate.store.transaction import Torn, Tx

PAGE = 100

Conditions = tuple[tuple[str, str, Any], ...]
Still = Callable[[Tenant, Shard], bool]
"""Whether a pause of the subject still stands, judged by what this very commit relies on."""


def revoke_all(deps: Deps, conditions: Conditions, still: Still, mode: str = "reject") -> frozenset[str]:
    """Do to every run that matches what a pause in `mode` does, as long as it stands. Wide scopes met while settling are
    returned.

    A claim that wins the race precedes the pause's answer; after this returns nothing of the subject starts.
    """
    settling: set[str] = set()
    for state in concerned(mode):
        for run in _found(deps, state, conditions):
            settling |= revoke(deps, run, still)
    return frozenset(settling)


def _found(deps: Deps, state: RunState, conditions: Conditions) -> Iterator[Run]:
    """Each run once, though acting on one takes it out of the query."""
    seen: set[str] = set()
    while True:
        query = where(Run, ("state", "==", state), *conditions, order=("created_at",), limit=PAGE + len(seen))
        fresh = [run for run in deps.store.query(Run, query) if run.id not in seen]
        yield from fresh
        seen |= {run.id for run in fresh}
        if len(fresh) < PAGE:
            return


def revoke(deps: Deps, run: Run, still: Still) -> set[str]:
    """Do to one run what the pauses over it say, or leave it if it moved on or no pause stands."""

    def body(tx: Tx) -> tuple[RunState | None, set[str]]:
        ledger = Ledger.open(tx, run.tenant, deps.policy)
        now = tx.get(Run, run.id)
        shard = None if now is None or now.state not in LIVE else _shard(tx, now)
        if now is None or shard is None or not still(ledger.tenant, shard):
            return None, set()
        change = EFFECTS[gate_mode(ledger.tenant, now, shard.closed) or "hold"].get(now.state)
        if change is None:
            return None, set()
        after = _changed(ledger, now, change, deps.timing.random())
        ledger.close()
        return after.state, ledger.settling

    state, settling = deps.store.transact(body, run.tenant)
    if state is not None:
        deps.changes.announce(run.id)
        deps.telemetry.info(f"run.{state}", run_id=run.id, tenant=run.tenant, reason="paused")
    return settling


def _changed(ledger: Ledger, run: Run, change: Change, chance: float) -> Run:
    return ledger.end(run, change) if change is Change.CANCEL else ledger.put_back(run, change, chance)


def _shard(tx: Tx, run: Run) -> Shard | None:
    """The wide shard that the run stands in: mode and closed kinds lie there too, under the version it is written by."""
    name = run.shards.line if run.state is RunState.QUEUED else run.shards.system
    shard = None if name is None else tx.get(Shard, name)
    if name is not None and shard is None:
        raise Torn(f"shard {name} is gone")
    return shard
