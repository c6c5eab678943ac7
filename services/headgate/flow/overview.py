"""Looking: a run with its place in line, lists, tenants, who holds what. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core import pace
from headgate.core.access import Caller, Permission
from headgate.core.errors import Forbidden, InvalidRequest, NotFound
from headgate.core.forecast import Estimate
from headgate.core.line import stands_in_line
from headgate.core.policy import PRIORITY_WORDS
from headgate.core.reasons import Facts, Reason, foreseeable, full_scopes, reasons
from headgate.core.run import IN_FLIGHT, Run, RunState
from headgate.core.scopes import SYSTEM, TENANT, full_name, kind_scope
from headgate.core.tenant import Holder, Tenant, limit
from headgate.core.wide import Control, Shard
from headgate.flow import brakes
from headgate.flow.deps import Deps
from headgate.flow.estimates import estimate, offering
from headgate.flow.places import Place, places
from headgate.store.documents import EventChunk, LogChunk, where


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """A queued run's place: `position` is None for a delayed run; `waiting_for` are tokens of SPEC 4 in order."""

    position: int | None
    length: int
    ahead_by_priority: int
    waiting_for: tuple[str, ...]
    binding: str | None = None
    """The first full scope, by its local or wide name."""
    holders: tuple[str, ...] = ()
    """The tenant's own runs in that scope; none without one."""
    estimated_wait: Estimate | None = None
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
RUNNER = "runner"
"""The kind that needs registration tokens of GitHub."""


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
    wide = _wide(deps, {run.kind for run in queued})
    found = places(deps, tenant, [run for run in queued if stands_in_line(run)])
    now = deps.store.now()
    return {run.id: _line_view(deps, run, tenant, wide, found.get(run.id), now) for run in queued}


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


# --- the line


@dataclass(frozen=True, slots=True)
class _Wide:
    """What the wide scopes hold against a start: their control, and those without a free slot."""

    control: Control | None
    full: frozenset[str]


def _wide(deps: Deps, kinds: Collection[str]) -> _Wide:
    scopes = (SYSTEM, *map(kind_scope, sorted(kinds)))
    return _Wide(deps.store.get(Control, SYSTEM), frozenset(scope for scope in scopes if not _has_room(deps, scope)))


def _has_room(deps: Deps, scope: str) -> bool:
    free = where(Shard, ("scope", "==", scope), ("free", "==", True), order=("rnd",), limit=1)
    return bool(deps.store.query(Shard, free))


def _line_view(deps: Deps, run: Run, tenant: Tenant, wide: _Wide, place: Place | None, now: int) -> LineView:
    facts = _facts(deps, run, tenant, wide, place, now)
    tokens, full = reasons(facts), full_scopes(facts)
    binding = full[0] if full else None
    can_tell = place is not None and foreseeable(tokens)
    return LineView(
        position=place.position if place else None,
        length=max(tenant.waiting, place.position if place else 0),
        ahead_by_priority=place.ahead_by_priority if place else 0,
        waiting_for=tokens,
        binding=binding,
        holders=tuple(id for id, held in tenant.holders.items() if binding is not None and in_scope(held, binding)),
        estimated_wait=estimate(deps, tenant, run, place.ahead, now) if place and can_tell else None,
        as_of=place.as_of if place else None,
    )


def _facts(deps: Deps, run: Run, tenant: Tenant, wide: _Wide, place: Place | None, now: int) -> Facts:
    control = wide.control
    contended = wide.full & {SYSTEM, kind_scope(run.kind)}
    return Facts(
        run=run,
        tenant=tenant,
        mode=control.mode if control else "normal",
        closed=frozenset(control.closed if control else ()),
        full=wide.full,
        held_back=held_back(deps, run, tenant, control, now),
        outranked=_outranked(deps, tenant, bool(contended)) or _has_half(deps, run, tenant, control),
        ahead_by_priority=place.ahead_by_priority if place else 0,
    )


def _outranked(deps: Deps, tenant: Tenant, contended: bool) -> bool:
    """Whether a tenant that goes first offers runs, while there is not a slot for everybody."""
    return contended and any(other.turn < tenant.turn for other in offering(deps) if other.id != tenant.id)


def _has_half(deps: Deps, run: Run, tenant: Tenant, control: Control | None) -> bool:
    """Whether the run's repository has half of the system while another tenant could start."""
    half = brakes.half_holder(tenant, control.cap if control else None)
    return half is not None and half in run.scopes and any(other.id != tenant.id for other in offering(deps))


def held_back(deps: Deps, run: Run, tenant: Tenant, control: Control | None, now: int) -> frozenset[str]:
    """The tokens that dispatch's brakes put on a run now: what `flow.brakes` would say, without a transaction."""
    policy, found = deps.policy.pressure, set[str]()
    slow, ramps = (control.pressure.slow, control.ramps) if control else (False, {})
    paces = (
        pace.rate(slow, ramps.get(SYSTEM), now, policy),
        pace.rate(False, ramps.get(kind_scope(run.kind)), now, policy),
        *(rate for _, rate in brakes.ramps(tenant, (TENANT, *run.scopes), now, policy)),
    )
    if any(rate is not None for rate in paces):
        found.add(Reason.PRESSURE_SLOW)
    if brakes.short_of_memory(deps, run.limits.memory_bytes, now) is not None:
        found.add(Reason.HOST_MEMORY)
    if run.kind == RUNNER and control is not None and control.pressure.minting_paused:
        found.add(Reason.GITHUB_THROTTLED)
    return frozenset(found)


def in_scope(held: Holder, scope: str) -> bool:
    """Whether a run in flight holds a slot of that scope: `tenant`, a local name, its kind's or `system`."""
    return scope in (TENANT, SYSTEM, kind_scope(held.kind), *held.scopes)
