"""Small wrong changes of the product, each the kind of slip that a reader would not see. The machine must catch them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headgate.core import lifecycle, tenant
from headgate.core.lane import Lane
from headgate.core.lifecycle import Change
from headgate.core.line import lane_after
from headgate.core.run import Run, ShardsHeld
from headgate.core.tenant import Tenant
from headgate.flow import dispatch, fleet, pause, revoke, sweep, work
from headgate.flow.dispatch import Dispatcher
from headgate.flow.ledger import Ledger
from headgate.store.documents import where
from headgate.store.transaction import Tx

Mutate = Callable[[pytest.MonkeyPatch], None]
MUTANTS: dict[str, Mutate] = {}


def mutant(change: Mutate) -> Mutate:
    MUTANTS[change.__name__] = change
    return change


# --- the line's three rules


@mutant
def nobody_is_woken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "_wake", lambda self: None)


@mutant
def parking_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    def set_lane(self: Ledger, lane: Lane, head: int | None) -> Lane:
        return self._move(lane, lane_after(self.tenant, lane, head))

    patch.setattr(Ledger, "set_lane", set_lane)


@mutant
def waking_forgets_the_kind(patch: pytest.MonkeyPatch) -> None:
    """Only lanes of the first kind that sleeps on a scope are woken."""

    def wake(self: Ledger) -> None:
        for scope in dict.fromkeys(tenant.freed_scopes(self.tenant, self.touched)):
            self._wake_one(scope, min(self.tenant.parked[scope]))

    patch.setattr(Ledger, "_wake", wake)


@mutant
def a_cancelled_head_stays_the_head(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "leave_lane", lambda self, run: None)


@mutant
def the_last_lane_goes_first(patch: pytest.MonkeyPatch) -> None:
    def ready_lanes(self: Any, tx: Tx, of: Tenant, half: str | None) -> Any:
        conditions = (("tenant", "==", of.id), ("state", "==", "ready"), ("kind", "in", list(of.offers)))
        return tx.hint(Lane, where(Lane, *conditions, order=("-head",), limit=1))

    patch.setattr(dispatch._Turn, "_ready_lanes", ready_lanes)


# --- slots


@mutant
def giving_back_forgets_the_kind(patch: pytest.MonkeyPatch) -> None:
    give = Ledger.give
    patch.setattr(Ledger, "give", lambda self, run: give(self, _without_kind(run)))


def _without_kind(run: Run) -> Run:
    return replace(run, shards=ShardsHeld(system=run.shards.system))


@mutant
def one_too_many_fits(patch: pytest.MonkeyPatch) -> None:
    def full(of: Tenant, scope: str) -> bool:
        cap = tenant.limit(of, scope)
        return cap is not None and tenant.use(of, scope) > cap

    patch.setattr(tenant, "full", full)


@mutant
def a_closed_scope_is_never_dealt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fleet, "deal", lambda deps, scope: None)


@mutant
def a_release_deals_nothing(patch: pytest.MonkeyPatch) -> None:
    """Only whoever changes a cap deals."""
    patch.setattr(work, "deal_all", lambda deps, scopes: None)


@mutant
def a_release_starts_nobody(patch: pytest.MonkeyPatch) -> None:
    settle, quiet = work.settle, type("Quiet", (), {"dispatch": lambda self: {}})()
    patch.setattr(work, "settle", lambda deps, dispatcher, after, settling: settle(deps, quiet, after, settling))


@mutant
def a_pause_starts_nobody_else(patch: pytest.MonkeyPatch) -> None:
    """What a pause frees is left lying until somebody else dispatches."""
    once = pause.pause

    def paused(deps: Any, dispatcher: Dispatcher, *rest: Any) -> Tenant:
        return once(deps, type("Quiet", (), {"dispatch": lambda self: {}})(), *rest)

    patch.setattr(pause, "pause", paused)


# --- who may still speak


@mutant
def a_late_attempt_may_finish(patch: pytest.MonkeyPatch) -> None:
    current = work._current

    def any_attempt(tx: Tx, run: Run) -> Run:
        now = tx.get(Run, run.id)
        return now if now is not None and now.state == "running" else current(tx, run)

    patch.setattr(work, "_current", any_attempt)


@mutant
def a_retry_keeps_its_fence(patch: pytest.MonkeyPatch) -> None:
    fenced = frozenset(lifecycle._NEW_FENCE - {Change.REVOKE, Change.RETRY, Change.CLAIM})
    patch.setattr(lifecycle, "_NEW_FENCE", fenced)


# --- gates


@mutant
def a_pause_leaves_what_is_pending(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pause, "revoke_all", lambda *facts: frozenset())


@mutant
def a_paused_tenant_still_offers(patch: pytest.MonkeyPatch) -> None:
    def offering(of: Tenant) -> tuple[str, ...]:
        return tuple(sorted(of.ready)) if len(of.holders) < of.cap else ()

    patch.setattr(tenant, "offering", offering)


@mutant
def a_revoke_lets_drained_runs_live(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(revoke, "gate_mode", lambda *facts: "hold")


@mutant
def the_sweep_forgets_leases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep, "_lose", lambda *facts: None)
