"""A tenant's document: its limits, its gates, who holds slots, how its lanes stand. It is the tenant's lock:
every commit that changes a run or a lane reads it first and writes it, so all arithmetic on it is race-free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from headgate.core.lane import Lane, LaneState
from headgate.core.limits import Override
from headgate.core.policy import Policy
from headgate.core.scopes import TENANT, scope_type

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One run in flight: since when (ms), how long it is expected to take (s), and the scopes it holds a slot in."""

    since: int
    expected: float
    kind: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A pause of the tenant or of a scope inside it. `pausing` until every pending run of it was given back, then `paused`."""

    id: str
    state: str
    mode: str = "reject"
    reason: str = ""
    by: str = ""
    since: int = 0
    until: int | None = None
    ticket: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """Since when a scope takes up again, and the moment of its next start (ms)."""

    since: int
    next_start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """`cap` is its plan's concurrent runs; `defaults` the caps of a user, repo or org; `base` those of the policy file for
    one scope; `limits` those set at run time (any scope, `tenant` too), `overrides` the same with who, why and until
    when. `ready` counts lanes by kind, `parked` by scope and kind."""

    id: str
    plan: str
    cap: int
    status: str = "active"
    status_gate: Gate | None = None
    """Of a status other than active: who set it, and how far its runs have been dealt with."""
    weight: float = 1.0
    created_at: int = 0
    defaults: Mapping[str, int | None] = field(default_factory=dict)
    base: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    overrides: Mapping[str, Override] = field(default_factory=dict)
    capped_at: int = 0
    """When a cap of it was last changed (ms): more held than a cap is right only for runs that started before."""
    on_limit: str | None = None
    month: str = ""
    month_runs: int = 0
    quota_exempt: bool = False
    repos: Mapping[str, int] = field(default_factory=dict)
    """Where the plan limits them: its repositories and the last day (since 1970) each was used."""
    seq: int = 0
    gates: Mapping[str, Gate] = field(default_factory=dict)
    holders: Mapping[str, Holder] = field(default_factory=dict)
    waiting: int = 0
    ready: Counts = field(default_factory=dict)
    parked: Mapping[str, Counts] = field(default_factory=dict)
    ramps: Mapping[str, Ramp] = field(default_factory=dict)
    """By local scope (`tenant`, `user:ada` …): what was resumed while others waited for it takes up again at a pace."""
    served: float = 0.0
    """Slot-seconds of its finished runs, by weight, never behind the fleet when it comes back from idleness."""
    turn: float = 0.0
    """`served` plus what is expected of the runs in flight: the fair order."""
    offers: tuple[str, ...] = ()
    """Kinds of which a run could start now, as far as this tenant is concerned."""


def use(tenant: Tenant, scope: str) -> int:
    """Slots in use in a scope inside the tenant: the holders that name it. `tenant` counts them all."""
    if scope == TENANT:
        return len(tenant.holders)
    return sum(scope in holder.scopes for holder in tenant.holders.values())


def limit(tenant: Tenant, scope: str) -> int | None:
    """The cap in force of a scope inside the tenant: the run-time override, else the policy's. None = none."""
    return tenant.limits[scope] if scope in tenant.limits else base_limit(tenant, scope)


def base_limit(tenant: Tenant, scope: str) -> int | None:
    """The policy's cap of a scope: of the plan for the tenant itself, else of that very scope, else of its type."""
    if scope == TENANT:
        return tenant.cap
    return tenant.base[scope] if scope in tenant.base else tenant.defaults.get(scope_type(scope))


def with_policy(tenant: Tenant, policy: Policy) -> Tenant:
    """The tenant under this policy; what was set at run time keeps standing over it."""
    plan = policy.plan(tenant.plan)
    repos = {f"repo:{name}": cap for name, cap in policy.repo_overrides.items()}
    orgs = {f"org:{name}": cap for name, cap in policy.org_overrides.items()}
    defaults = {"user": policy.user, "repo": policy.repo, "org": policy.org}
    return replace(tenant, cap=plan.concurrent, weight=plan.weight, defaults=defaults, base={**repos, **orgs})


def overridden(tenant: Tenant, scope: str, override: Override | None, now: int) -> Tenant:
    """The tenant with the limit of one scope set at run time, or (None) back at the policy's. Nobody loses a slot."""
    overrides = {other: standing for other, standing in tenant.overrides.items() if other != scope}
    limits = {other: cap for other, cap in tenant.limits.items() if other != scope}
    if override is not None:
        overrides[scope], limits[scope] = override, override.limit
    return replace(tenant, overrides=overrides, limits=limits, capped_at=now)


def full(tenant: Tenant, scope: str) -> bool:
    """Whether the scope has no slot left."""
    cap = limit(tenant, scope)
    return cap is not None and use(tenant, scope) >= cap


def blocked(tenant: Tenant, scopes: Iterable[str]) -> str | None:
    """The first gated or full scope inside the tenant, or None."""
    return next((scope for scope in scopes if scope in tenant.gates or full(tenant, scope)), None)


def take(tenant: Tenant, run_id: str, holder: Holder) -> Tenant:
    """The tenant with `run_id` holding a slot in each of its scopes. Taking twice is once."""
    return replace(tenant, holders={**tenant.holders, run_id: holder})


def give(tenant: Tenant, run_id: str, now: int) -> Tenant:
    """The tenant without that holder, its slot-seconds added to `served`. Giving back twice is once."""
    holder = tenant.holders.get(run_id)
    if holder is None:
        return tenant
    rest = {other: held for other, held in tenant.holders.items() if other != run_id}
    seconds = max(0, now - holder.since) / 1000
    return replace(tenant, holders=rest, served=tenant.served + seconds / tenant.weight)


def lane_moved(tenant: Tenant, before: Lane | None, after: Lane) -> Tenant:
    """The tenant's counts of ready and parked lanes after a lane changed. Moves with `lane_after`, never alone."""
    ready, parked = dict(tenant.ready), {scope: dict(kinds) for scope, kinds in tenant.parked.items()}
    for lane, step in ((before, -1), (after, 1)):
        if lane is not None and lane.state is LaneState.READY:
            _bump(ready, lane.kind, step)
        elif lane is not None and lane.state is LaneState.PARKED and lane.on is not None:
            _bump(parked.setdefault(lane.on, {}), lane.kind, step)
    return replace(tenant, ready=ready, parked={scope: kinds for scope, kinds in parked.items() if kinds})


def _bump(counts: dict[str, int], name: str, step: int) -> None:
    counts[name] = counts.get(name, 0) + step
    if not counts[name]:
        del counts[name]


def offering(tenant: Tenant) -> tuple[str, ...]:
    """Kinds with a ready lane, if the tenant itself has a slot and no gate."""
    if full(tenant, TENANT) or TENANT in tenant.gates or tenant.status != "active":
        return ()
    return tuple(sorted(tenant.ready))


def refreshed(tenant: Tenant) -> Tenant:
    """`offers` and `turn`, computed anew: the last thing before every write."""
    expected = sum(holder.expected for holder in tenant.holders.values())
    return replace(tenant, offers=offering(tenant), turn=tenant.served + expected / tenant.weight)


def lifted(tenant: Tenant, floor: float) -> Tenant:
    """A tenant that begins to offer starts at the fleet's virtual time: no credit is hoarded by idleness or a pause."""
    return replace(tenant, served=max(tenant.served, floor))


def freed_scopes(tenant: Tenant, scopes: Iterable[str]) -> tuple[str, ...]:
    """Those of `scopes` that now have room and no gate, and lanes parked on them: the ones to wake."""
    return tuple(s for s in scopes if s in tenant.parked and s not in tenant.gates and not full(tenant, s))
