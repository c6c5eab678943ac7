"""I7: who waits is counted, lanes have the right heads, and no lane sleeps while the scope it waits for has room."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import isclose

from headgate.core import tenant as tenants
from headgate.core.lane import Lane, LaneState
from headgate.core.line import stands_in_line
from headgate.core.run import RunState
from headgate.core.scopes import full_name
from headgate.core.tenant import Tenant
from headgate.flow.invariants.books import Books, Violation


def counts(books: Books) -> Iterator[Violation]:
    """I7: who waits is counted, in the tenant and for its user."""
    waiting = Counter(run.tenant for run in books.live if run.state is RunState.QUEUED)
    by_user = Counter((run.tenant, run.user) for run in books.live if run.state is RunState.QUEUED and run.user)
    for tenant in books.tenants.values():
        if tenant.waiting != waiting[tenant.id]:
            detail = f"{tenant.waiting} counted, {waiting[tenant.id]} waiting"
            yield Violation(invariant="I7", subject=f"line:tenant/{tenant.id}", detail=detail)
    for user in books.users:
        if user.waiting != by_user[user.tenant, user.user]:
            detail = f"{user.waiting} counted, {by_user[user.tenant, user.user]} waiting"
            yield Violation(invariant="I7", subject=f"line:user/{user.tenant}/{user.user}", detail=detail)


def fairness(books: Books) -> Iterator[Violation]:
    """I7: what a tenant offers and whose turn it is, by which a dispatch finds it, follows from what it holds."""
    for tenant in books.tenants.values():
        due = tenants.refreshed(tenant)
        if tenant.offers != due.offers:
            detail = f"offers {list(tenant.offers)}, should be {list(due.offers)}"
            yield Violation(invariant="I7", subject=f"tenant:{tenant.id}", detail=detail)
        if not isclose(tenant.turn, due.turn, rel_tol=1e-9, abs_tol=1e-6):  # holders come in any order
            detail = f"turn {tenant.turn}, should be {due.turn}"
            yield Violation(invariant="I7", subject=f"tenant:{tenant.id}", detail=detail)


def lanes(books: Books) -> Iterator[Violation]:
    """I7: heads, states and counts of lanes; and no lane sleeps while the scope it waits for has room."""
    heads: dict[str, int] = {}
    for run in books.live:
        if stands_in_line(run):
            heads[run.lane] = min(run.key, heads.get(run.lane, run.key))
    ready: dict[str, Counter[str]] = defaultdict(Counter)
    parked: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for lane in books.lanes:
        if lane.head != heads.get(lane.id):
            detail = f"head {lane.head}, should be {heads.get(lane.id)}"
            yield Violation(invariant="I7", subject=lane.id, detail=detail)
        if lane.state is LaneState.READY:
            ready[lane.tenant][lane.kind] += 1
        elif lane.state is LaneState.PARKED and lane.on is not None:
            parked[lane.tenant][lane.on, lane.kind] += 1
    for tenant in books.tenants.values():
        counted = {(scope, kind): n for scope, kinds in tenant.parked.items() for kind, n in kinds.items()}
        if dict(tenant.ready) != dict(ready[tenant.id]) or counted != dict(parked[tenant.id]):
            yield Violation(invariant="I7", subject=f"tenant:{tenant.id}", detail="counts of lanes are off")
        yield from _sleepers(tenant, [lane for lane in books.lanes if lane.tenant == tenant.id])


def _sleepers(tenant: Tenant, lanes: list[Lane]) -> Iterator[Violation]:
    for scope, kinds in tenant.parked.items():
        for kind in kinds:
            room = scope not in tenant.gates and not tenants.full(tenant, scope)
            awake = any(lane.state is LaneState.READY and lane.kind == kind and scope in lane.scopes for lane in lanes)
            if room and not awake:
                detail = f"lanes of kind {kind} sleep though it has room"
                yield Violation(invariant="I7", subject=full_name(tenant.id, scope), detail=detail)
