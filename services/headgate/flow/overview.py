"""Looking: a run with its place in line, lists, tenants, who holds what. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.access import Caller, Permission
from headgate.core.errors import Forbidden, InvalidRequest, NotFound
from headgate.core.line import stands_in_line
from headgate.core.policy import PRIORITY_WORDS
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


FILTERS = ("state", "kind", "repo", "org", "user", "priority")
COUNTED_AT_MOST = 8
"""Places in line that are counted one by one; for more of them the tenant's line is read once."""


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
    return lines_of(deps, [run]).get(run.id)


def lines_of(deps: Deps, runs: Iterable[Run]) -> dict[str, LineView]:
    """Where those of one tenant's `runs` that are queued stand in its line, by run id. What they share is read once."""
    queued = [run for run in runs if run.state is RunState.QUEUED]
    tenant = deps.store.get(Tenant, queued[0].tenant) if queued else None
    if tenant is None:
        return {}
    blockers = _blockers(deps, {run.kind for run in queued})
    places = _places(deps, [run for run in queued if stands_in_line(run)])
    return {run.id: _line_view(run, tenant, blockers, places.get(run.id)) for run in queued}


def list_runs(
    deps: Deps, caller: Caller, tenant_id: str, filters: Mapping[str, str], limit: int, after: tuple[int, str] | None
) -> Page:
    """Newest first, with filters named like the fields. Raises NotFound, Forbidden, InvalidRequest."""
    require_tenant(caller, tenant_id)
    if deps.store.get(Tenant, tenant_id) is None:
        raise NotFound(f"There is no tenant {tenant_id!r}.")
    conditions = [(name, "==", value) for name, value in sorted(_checked(filters).items())]
    query = where(Run, ("tenant", "==", tenant_id), *conditions, order=("-created_at",), limit=limit + 1, after=after)
    found = deps.store.query(Run, query)
    runs = found[:limit]
    more = (runs[-1].created_at, runs[-1].id) if len(found) > limit else None
    return Page(runs=runs, after=more)


def _checked(filters: Mapping[str, str]) -> dict[str, str | int]:
    """The filters with the values that are stored. Raises InvalidRequest."""
    if "state" in filters and filters["state"] not in set(RunState):
        raise InvalidRequest(f"state is {filters['state']!r}; one of {', '.join(RunState)}.", field="state")
    if "priority" not in filters:
        return dict(filters)
    priorities = {**{str(level): level for level in range(10)}, **PRIORITY_WORDS}
    if filters["priority"] not in priorities:
        words = ", ".join(PRIORITY_WORDS)
        raise InvalidRequest(f"priority is {filters['priority']!r}; 0 to 9, or one of {words}.", field="priority")
    return {**filters, "priority": priorities[filters["priority"]]}


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


def output_of(deps: Deps, run: Run, after: int = 0, limit: int | None = None) -> list[LogChunk]:
    """The run's output with an event number above `after`, in order; at most `limit` pieces of it."""
    if not run.log_bytes:
        return []
    conditions = (("run", "==", run.id), ("seq", ">", after))
    return deps.store.query(LogChunk, where(LogChunk, *conditions, order=("seq",), limit=limit))


def held_scopes(deps: Deps) -> list[HeldScope]:
    """Who holds what, over every scope with a holder, and every wide scope."""
    scopes: dict[str, HeldScope] = {}
    for control in deps.store.query(Control, where(Control)):
        shards = deps.store.query(Shard, where(Shard, ("scope", "==", control.id), order=("index",)))
        holders = {run: since for shard in shards for run, since in shard.holders.items()}
        if not control.id.startswith("line:"):
            scopes[control.id] = HeldScope(scope=control.id, limit=control.cap, used=len(holders), holders=holders)
    for tenant in deps.store.every(Tenant):
        for local in (TENANT, *sorted({s for h in tenant.holders.values() for s in h.scopes})):
            held = {run: h.since for run, h in tenant.holders.items() if local == TENANT or local in h.scopes}
            name = full_name(tenant.id, local)
            scopes[name] = HeldScope(scope=name, limit=limit(tenant, local), used=len(held), holders=held)
    return list(scopes.values())


# --- places in line


@dataclass(frozen=True, slots=True)
class _Place:
    """What is ahead of a run that is not delayed."""

    position: int
    ahead_by_priority: int


def _places(deps: Deps, standing: Sequence[Run]) -> dict[str, _Place]:
    """The places of one tenant's `standing` runs, by run id: counted for a few, read off the line for many."""
    if len(standing) <= COUNTED_AT_MOST:
        return {run.id: _counted_place(deps, run) for run in standing}
    last = max(run.key for run in standing)  # nobody behind the last of them matters
    line = deps.store.query(Run, where(Run, *_in_line(standing[0].tenant), ("key", "<=", last), order=("key",)))
    return {run.id: _place_in(line, run) for run in standing}


def _counted_place(deps: Deps, run: Run) -> _Place:
    ahead = (*_in_line(run.tenant), ("key", "<", run.key))
    position = deps.store.count(where(Run, *ahead)) + 1
    higher = list(range(run.priority + 1, 10))
    counted = higher and position > 1
    return _Place(position, deps.store.count(where(Run, *ahead, ("priority", "in", higher))) if counted else 0)


def _place_in(line: Sequence[Run], run: Run) -> _Place:
    ahead = [other for other in line if other.key < run.key]
    return _Place(len(ahead) + 1, sum(other.priority > run.priority for other in ahead))


def _in_line(tenant_id: str) -> tuple[tuple[str, str, object], ...]:
    return ("tenant", "==", tenant_id), ("state", "==", "queued"), ("delayed", "==", False)


@dataclass(frozen=True, slots=True)
class _Blockers:
    """What the wide scopes hold against a start: the mode, closed kinds, full scopes."""

    mode: str
    closed: frozenset[str]
    full: frozenset[str]


def _blockers(deps: Deps, kinds: Collection[str]) -> _Blockers:
    control = deps.store.get(Control, SYSTEM)
    full_scopes = [scope for scope in (SYSTEM, *map(kind_scope, sorted(kinds))) if not _has_room(deps, scope)]
    return _Blockers(
        mode=control.mode if control else "normal",
        closed=frozenset(control.closed if control else ()),
        full=frozenset(full_scopes),
    )


def _has_room(deps: Deps, scope: str) -> bool:
    free = where(Shard, ("scope", "==", scope), ("free", "==", True), order=("rnd",), limit=1)
    return bool(deps.store.query(Shard, free))


def _line_view(run: Run, tenant: Tenant, blockers: _Blockers, place: _Place | None) -> LineView:
    tokens, holders = _waiting_for(run, tenant, blockers)
    return LineView(
        position=place.position if place else None,
        length=max(tenant.waiting, place.position if place else 0),
        ahead_by_priority=place.ahead_by_priority if place else 0,
        waiting_for=tokens,
        holders=holders,
    )


def _waiting_for(run: Run, tenant: Tenant, blockers: _Blockers) -> tuple[tuple[str, ...], tuple[str, ...]]:
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
    tokens += ["SCOPE_FULL:kind"] if kind_scope(run.kind) in blockers.full else []
    tokens += ["SCOPE_FULL:system"] if SYSTEM in blockers.full else []
    if run.delayed:
        tokens.append("INPUT" if run.waiting else "NOT_BEFORE")
    binding = full_inside[0] if full_inside else TENANT
    holders = tuple(r for r, h in tenant.holders.items() if binding == TENANT or binding in h.scopes)
    return tuple(tokens or ["NEXT"]), holders
