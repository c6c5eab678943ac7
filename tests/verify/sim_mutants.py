"""Small wrong changes of the product that the simulator must catch: the controls of the model, and some of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headgate.core import admission, tenant, wide
from headgate.core.lane import Lane
from headgate.core.run import Run, ShardsHeld
from headgate.flow import cancel, dispatch, fleet, submit, sweep, work
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Step, Stepped
from headgate.flow.ledger import Ledger
from headgate.store import transaction
from headgate.store.documents import where
from headgate.store.transaction import Tx
from tests.contract.mutants import a_pause_starts_nobody_else, parking_wakes_nobody, waking_forgets_the_kind

Mutate = Callable[[pytest.MonkeyPatch], None]


def _set(owner: object, name: str, value: object) -> Mutate:
    return lambda patch: patch.setattr(owner, name, value)


# --- the controls of the model


def _promoting_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    promote, wake = dispatch._Turn._promote, Ledger._wake

    def quietly(self: Any, book: Any, *rest: Any) -> Stepped:
        book.quiet = True
        return promote(self, book, *rest)

    patch.setattr(dispatch._Turn, "_promote", quietly)
    patch.setattr(Ledger, "_wake", lambda self: None if hasattr(self, "quiet") else wake(self))


def _a_cap_waits_for_a_release(patch: pytest.MonkeyPatch) -> None:
    """Whoever changes a cap closes the scope and leaves the dealing to whoever gives a slot back."""
    deal = fleet.deal

    def by_others(deps: Any, scope: str) -> None:
        if sys._getframe(1).f_code.co_name != "_recap":
            deal(deps, scope)

    patch.setattr(fleet, "deal", by_others)


def _the_line_is_read_before_the_tenant(patch: pytest.MonkeyPatch) -> None:
    """Who is next in a lane is asked first, and the tenant, which locks the lane, is read after that."""
    end = cancel._end
    seen: dict[str, list[Run]] = {}

    def early(deps: Deps, tenant_id: str, run_id: str, *rest: Any) -> Run:
        run = deps.store.get(Run, run_id)
        if run is not None:
            line = (("lane", "==", run.lane), ("state", "==", "queued"), ("delayed", "==", False))
            seen[run_id] = deps.store.query(Run, where(Run, *line, order=("key",), limit=2))
        return end(deps, tenant_id, run_id, *rest)

    def leave_lane(self: Ledger, run: Run) -> None:
        lane = self.tx.get(Lane, run.lane)
        if lane is not None and not run.delayed:
            others = [other.key for other in seen.get(run.id, self.first_of(run.lane, 2)) if other.id != run.id]
            self.set_lane(lane, others[0] if others else None)

    patch.setattr(cancel, "_end", early)
    patch.setattr(Ledger, "leave_lane", leave_lane)


MODEL: dict[str, Mutate] = {
    "the line read before the tenant": _the_line_is_read_before_the_tenant,
    "no wake on park": parking_wakes_nobody,
    "no wake on promote": _promoting_wakes_nobody,
    "a wake without the kind": waking_forgets_the_kind,
    "no dispatch after a revoke": a_pause_starts_nobody_else,
    "no lift of an idle tenant": _set(tenant, "lifted", lambda tenant, floor: tenant),
    "a settle that waits for a release": _a_cap_waits_for_a_release,
}

# --- others


def _fenceless(tx: Tx, run: Run) -> Run | None:
    return tx.get(Run, run.id)


def _the_systems_slot_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    give = Ledger.give
    patch.setattr(Ledger, "give", lambda self, run: give(self, replace(run, shards=ShardsHeld(kind=run.shards.kind))))


def _only_dispatch_wakes_when_it_parks(patch: pytest.MonkeyPatch) -> None:
    """A newcomer that parks the lane which was awake wakes nobody."""
    parking_wakes_nobody(patch)

    def park(self: Any, ledger: Ledger, lane: Lane) -> Stepped:
        ledger.set_lane(lane, lane.head)
        ledger.touched += lane.scopes
        ledger.close()
        return Stepped(Step.PARKED)

    patch.setattr(dispatch._Turn, "_park", park)


OWN: dict[str, Mutate] = {
    "nobody is woken": _set(Ledger, "_wake", lambda self: None),
    "a late result counts": _set(work, "_current", _fenceless),
    "the system's slot is forgotten": _the_systems_slot_is_forgotten,
    "shards are never dealt again": _set(wide, "deal", lambda control, shards: None),
    "a shard takes more than its credit": _set(wide, "full", lambda shard: False),
    "lost leases are left alone": _set(sweep, "_lose", lambda deps, dispatcher, run: None),
    "nothing is published again": _set(sweep, "_republish", lambda deps, dispatcher, run: True),
    "a delayed run never joins its lane": _set(sweep, "_due", lambda deps, run: None),
    "the tenant is not the lock": _set(Ledger, "close", lambda self: None),
    "a newcomer that parks a lane wakes nobody": _only_dispatch_wakes_when_it_parks,
    "what is masked is put back in the same commit": _set(transaction.Tx, "_refuse_masked", lambda self, key: None),
    "a concurrencyKey is not looked at": _set(submit._Attempt, "_make_way", lambda self, ledger, request: ()),
    "a draining system accepts": _set(admission, "_mode", lambda request, view, policy: None),
    "a line without bounds": _set(admission, "_line_bounds", lambda request, view, policy: None),
}
