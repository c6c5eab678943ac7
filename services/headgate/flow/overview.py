"""Looking: a run with its place in line, lists, tenants, who holds what. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.access import Caller, Permission
from headgate.core.errors import Forbidden, InvalidRequest, NotFound
from headgate.core.line import stands_in_line
from headgate.core.run import IN_FLIGHT, Run, RunState
from headgate.core.scopes import SYSTEM, TENANT, full_name, kind_scope, scope_type
from headgate.core.tenant import Tenant, full, limit
from headgate.core.wide import Control, Shard
from headgate.flow.deps import Deps
from headgate.store.documents import EventChunk, LogChunk, where


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """A queued run's place: `position` is None for a delayed run; `waiting_for` are tokens of SPEC 4 in order."""

    position: int | None
    length: int
    ahead_by_priority: int
    waiting_for: tuple[str, ...]
    holders: tuple[str, ...] = ()
    estimated_wait: None = None
    as_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a list, and where to go on: the cursor of the last one, or None at the end."""

    runs: Sequence[Run]
    after: tuple[int, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldScope:
    """A scope's slots: who holds them (run id → since ms), how many there are."""

    scope: str
    limit: int | None
    used: int
    holders: Mapping[str, int] = field(default_factory=dict)


FILTERS = ("state", "kind", "repo", "user")


def find_run(deps: Deps, caller: Caller, tenant_id: str, run_id: str) -> Run:
    """The caller's run. Unknown and foreign answer alike. Raises NotFound, Forbidden."""
    missing = NotFound(f"There is no run {run_id!r}.")
    require_tenant(caller, tenant_id, missing)
    run = deps.store.get(Run, run_id)
    if run is None or run.tenant != tenant_id:
        raise missing
    return run


def require_tenant(caller: Caller, tenant_id: str, missing: NotFound | None = None) -> None:
    """Raises NotFound unless the tenant exists for the caller, Forbidden unless it may read runs."""
    if not caller.sees(tenant_id):
        raise missing or NotFound(f"There is no tenant {tenant_id!r}.")
    if not caller.may(Permission.RUNS_READ):
        raise Forbidden(f"Reading runs needs the permission runs:read, which {caller.role} does not have.")


def line_of(deps: Deps, run: Run) -> LineView | None:
    """Where a queued run stands in its tenant's line; None for one that does not wait."""
    if run.state is not RunState.QUEUED:
        return None
    tenant = deps.store.get(Tenant, run.tenant)
    if tenant is None:
        return None
    blockers = _blockers(deps, run, tenant)
    tokens, holders = _waiting_for(deps, run, tenant, blockers)
    if not stands_in_line(run):
        return LineView(position=None, length=tenant.waiting, ahead_by_priority=0, waiting_for=tokens, holders=holders)
    ahead = (("tenant", "==", run.tenant), ("state", "==", "queued"), ("delayed", "==", False), ("key", "<", run.key))
    position = deps.store.count(where(Run, *ahead)) + 1
    higher = list(range(run.priority + 1, 10))
    by_priority = deps.store.count(where(Run, *ahead, ("priority", "in", higher))) if higher and position > 1 else 0
    length = max(tenant.waiting, position)
    return LineView(
        position=position, length=length, ahead_by_priority=by_priority, waiting_for=tokens, holders=holders
    )


def list_runs(
    deps: Deps, caller: Caller, tenant_id: str, filters: Mapping[str, str], limit: int, after: tuple[int, str] | None
) -> Page:
    """Newest first, with filters named like the fields. Raises NotFound, Forbidden, InvalidRequest."""
    require_tenant(caller, tenant_id)
    if deps.store.get(Tenant, tenant_id) is None:
        raise NotFound(f"There is no tenant {tenant_id!r}.")
    if "state" in filters and filters["state"] not in set(RunState):
        raise InvalidRequest(f"state is {filters['state']!r}; one of {', '.join(RunState)}.", field="state")
    conditions = [(name, "==", value) for name, value in sorted(filters.items())]
    query = where(Run, ("tenant", "==", tenant_id), *conditions, order=("-created_at",), limit=limit + 1, after=after)
    found = deps.store.query(Run, query)
    runs = found[:limit]
    more = (runs[-1].created_at, runs[-1].id) if len(found) > limit else None
    return Page(runs=runs, after=more)


def tenants_of(deps: Deps, caller: Caller, limit: int, after: str | None) -> tuple[list[Tenant], str | None]:
    """Operators see all, by id; others their own."""
    if caller.tenant is not None:
        own = deps.store.get(Tenant, caller.tenant)
        return ([own] if own and (after is None or own.id > after) else []), None
    query = where(Tenant, limit=limit + 1, after=None if after is None else (after,))
    found = deps.store.query(Tenant, query)
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def find_tenant(deps: Deps, caller: Caller, tenant_id: str) -> Tenant:
    """The tenant, if it exists for the caller. Raises NotFound, Forbidden."""
    missing = NotFound(f"There is no tenant {tenant_id!r}.")
    if not caller.sees(tenant_id):
        raise missing
    if not caller.may(Permission.TENANT_READ):
        raise Forbidden("Reading the tenant needs the permission tenant:read.")
    tenant = deps.store.get(Tenant, tenant_id)
    if tenant is None:
        raise missing
    return tenant


def count_in_flight_runs(deps: Deps, tenant_id: str) -> int:
    """Pending + running runs of a tenant, counted: for reports and the auditor, never for a decision.

    One aggregation over both states: Firestore scans them side by side, and both are of one moment.
    """
    return deps.store.count(where(Run, ("tenant", "==", tenant_id), ("state", "in", sorted(IN_FLIGHT))))


def events_of(deps: Deps, run: Run, after: int) -> list[dict[str, object]]:
    """The run's events with a number above `after`, in order; older ones come from their chunks. Output is not among them."""
    events: list[dict[str, object]] = []
    if run.events and after + 1 < run.events[0].seq:
        chunks = deps.store.query(EventChunk, where(EventChunk, ("run", "==", run.id), order=("seq",)))
        events += [dict(event) for chunk in chunks for event in chunk.events]
    events += [{"seq": e.seq, "at": e.at, "type": e.type, "data": dict(e.data)} for e in run.events]
    return [event for event in events if int(str(event["seq"])) > after]


def output_of(deps: Deps, run: Run, after: int = 0) -> list[LogChunk]:
    """The run's output with an event number above `after`, in order."""
    if not run.log_bytes:
        return []
    return deps.store.query(LogChunk, where(LogChunk, ("run", "==", run.id), ("seq", ">", after), order=("seq",)))


def held_scopes(deps: Deps) -> list[HeldScope]:
    """Who holds what, over every scope with a holder, and every wide scope."""
    scopes: dict[str, HeldScope] = {}
    for control in deps.store.query(Control, where(Control)):
        shards = deps.store.query(Shard, where(Shard, ("scope", "==", control.id), order=("index",)))
        holders = {run: since for shard in shards for run, since in shard.holders.items()}
        if not control.id.startswith("line:"):
            scopes[control.id] = HeldScope(scope=control.id, limit=control.cap, used=len(holders), holders=holders)
    for tenant in _all_tenants(deps):
        for local in (TENANT, *sorted({s for h in tenant.holders.values() for s in h.scopes})):
            held = {run: h.since for run, h in tenant.holders.items() if local == TENANT or local in h.scopes}
            name = full_name(tenant.id, local)
            scopes[name] = HeldScope(scope=name, limit=limit(tenant, local), used=len(held), holders=held)
    return list(scopes.values())


def _all_tenants(deps: Deps) -> list[Tenant]:
    tenants: list[Tenant] = []
    while True:
        after = (tenants[-1].id,) if tenants else None
        page = deps.store.query(Tenant, where(Tenant, limit=200, after=after))
        tenants += page
        if len(page) < 200:
            return tenants


@dataclass(frozen=True, slots=True)
class _Blockers:
    mode: str
    closed: frozenset[str]
    system_full: bool
    kind_full: bool


def _blockers(deps: Deps, run: Run, tenant: Tenant) -> _Blockers:
    control = deps.store.get(Control, SYSTEM)
    free = [
        bool(deps.store.query(Shard, where(Shard, ("scope", "==", s), ("free", "==", True), order=("rnd",), limit=1)))
        for s in (SYSTEM, kind_scope(run.kind))
    ]
    mode = control.mode if control else "normal"
    return _Blockers(mode, frozenset(control.closed if control else ()), not free[0], not free[1])


def _waiting_for(deps: Deps, run: Run, tenant: Tenant, blockers: _Blockers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Reason tokens in their order, and the tenant's own runs that hold the first full scope."""
    tokens: list[str] = []
    if TENANT in tenant.gates:
        tokens.append("TENANT_PAUSED")
    if tenant.status != "active":
        tokens.append("TENANT_SUSPENDED")
    tokens += [f"SCOPE_PAUSED:{full_name(tenant.id, s)}" for s in run.scopes if s in tenant.gates]
    tokens += [f"SCOPE_PAUSED:{kind_scope(run.kind)}"] if run.kind in blockers.closed else []
    tokens += ["SYSTEM_MAINTENANCE"] if blockers.mode == "maintenance" else []
    full_inside = [s for s in (TENANT, *run.scopes) if full(tenant, s)]
    tokens += [f"SCOPE_FULL:{scope_type(s)}" for s in full_inside]
    tokens += ["SCOPE_FULL:kind"] if blockers.kind_full else []
    tokens += ["SCOPE_FULL:system"] if blockers.system_full else []
    if run.delayed:
        tokens.append("INPUT" if run.waiting else "NOT_BEFORE")
    binding = full_inside[0] if full_inside else TENANT
    holders = tuple(r for r, h in tenant.holders.items() if binding == TENANT or binding in h.scopes)
    return tuple(tokens or ["NEXT"]), holders
