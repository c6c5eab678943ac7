"""Fairness between tenants over the last while, computed from what is recorded of the runs: nothing is counted along."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.run import LIVE, Run
from headgate.core.shares import Claims, Part, Span, jain, longest_wait, shares, spans
from headgate.core.tenant import Tenant, limit
from headgate.flow.deps import Deps
from headgate.store.documents import where

WINDOW_SECONDS = 3600.0
READ_AT_MOST = 5_000
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantShare:
    """A tenant's part of the window, its weight, how many of its runs wait and how long (s) the first of them has."""

    tenant: str
    weight: float
    part: Part
    queued: int
    longest_wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessReport:
    """From `since` to `as_of` (ms). `jain` is over received / entitled of the tenants that had demand. `complete` =
    no more runs ended in the window than were read."""

    since: int
    as_of: int
    jain: float | None
    tenants: Sequence[TenantShare]
    complete: bool


def fairness_report(deps: Deps, window_seconds: float = WINDOW_SECONDS) -> FairnessReport:
    """What each tenant was entitled to and got. Tenants without a run in the window are left out."""
    now = deps.store.now()
    since = now - round(window_seconds * 1000)
    ended, complete = _ended(deps, since)
    runs: dict[str, list[Run]] = defaultdict(list)
    for run in {run.id: run for run in (*ended, *_live(deps))}.values():
        runs[run.tenant].append(run)
    known = [tenant for tenant in deps.store.get_all(Tenant, sorted(runs)) if tenant is not None] if runs else []
    parts = shares({tenant.id: _claims(tenant, runs[tenant.id], now) for tenant in known}, (since, now))
    return FairnessReport(
        since=since,
        as_of=now,
        jain=index(parts),
        tenants=[_share(tenant, parts[tenant.id], runs[tenant.id], now) for tenant in known],
        complete=complete,
    )


def index(parts: Mapping[str, Part]) -> float | None:
    """Jain's index over the tenants that had demand; None without any."""
    return jain(part.received / part.entitled for part in parts.values() if part.demand and part.entitled > 0)


def _ended(deps: Deps, since: int) -> tuple[list[Run], bool]:
    found: list[Run] = []
    after = None
    while len(found) < READ_AT_MOST:
        query = where(Run, ("finished_at", ">=", since), order=("-finished_at",), limit=PAGE, after=after)
        page = deps.store.query(Run, query)
        found += page
        if len(page) < PAGE:
            return found, True
        after = (page[-1].finished_at, page[-1].id)
    return found, False


def _live(deps: Deps) -> list[Run]:
    return [run for state in sorted(LIVE) for run in deps.store.every(Run, ("state", "==", state))]


def _claims(tenant: Tenant, runs: Sequence[Run], now: int) -> Claims:
    held: list[Span] = []
    waited: list[Span] = []
    for run in runs:
        holding, waiting = spans(run, now)
        held += holding
        waited += waiting
    caps = {scope: limit(tenant, scope) for scope in {s for run in runs for s in run.scopes}}
    known = {scope: cap for scope, cap in caps.items() if cap is not None}
    return Claims(weight=tenant.weight, cap=tenant.cap, caps=known, held=held, waited=waited)


def _share(tenant: Tenant, part: Part, runs: Sequence[Run], now: int) -> TenantShare:
    return TenantShare(
        tenant=tenant.id,
        weight=tenant.weight,
        part=part,
        queued=tenant.waiting,
        longest_wait=longest_wait(runs, now),
    )
