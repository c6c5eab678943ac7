"""Brakes: what holds starts back though slots are free. They never park a lane; a pass of dispatch goes round them.

pressure `slow` and ramps   a pace per scope: a start books the moment of the next one, in its own commit
host memory                 embedded: a run starts only while the machine has more free than it may use
half of the system          no repository takes more than half of the slots while somebody else could start

Pressure and ramps stand in every system shard, which each start writes under its version: nothing starts on an older
state. If a process dies while it waits for the next moment, the sweep of another goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from headgate.core import pace
from headgate.core.policy import PressurePolicy
from headgate.core.scopes import SYSTEM, TENANT, kind_scope
from headgate.core.tenant import Ramp, Tenant, use
from headgate.core.wide import Control, Shard
from headgate.flow.deps import Deps
from headgate.store.transaction import Tx

LOOK_AGAIN_MS = 2_000
"""How soon the host's memory is looked at again."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a run may not start now: a word of SPEC 4, whom it holds (`system`, `kind:…`, `tenant`), and until when (ms)."""

    token: str
    scope: str
    until: int


@dataclass(frozen=True, slots=True)
class Shunned:
    """Scopes of a tenant to go round; whether one of them has half of the system; what the others wait for."""

    scopes: frozenset[str] = frozenset()
    half: bool = False
    hold: Hold | None = None


def held(tx: Tx, deps: Deps, tenant: Tenant, system: Shard, kind: str) -> Hold | None:
    """The first pace that a start of this tenant and kind would break, read so that the commit verifies it."""
    pressure = deps.policy.pressure
    for scope, _ in paced(system, kind, tx.now, pressure):
        control = tx.get(Control, scope)
        if control is not None and control.next_start > tx.now:
            return Hold("PRESSURE_SLOW", scope, control.next_start)
    return paused_for(tenant, (TENANT,), tx.now, pressure)


def short_of_memory(deps: Deps, memory_bytes: int, now: int) -> Hold | None:
    """Whether this host has too little free memory for a run that may use so much."""
    free = deps.host.free_memory()
    return Hold("HOST_MEMORY", TENANT, now + LOOK_AGAIN_MS) if free is not None and free < memory_bytes else None


def paced(system: Shard, kind: str, now: int, policy: PressurePolicy) -> Iterator[tuple[str, float]]:
    """The wide scopes of a start whose starts are paced now, each with its starts a second."""
    for scope in (SYSTEM, kind_scope(kind)):
        per_second = pace.rate(system.slow and scope == SYSTEM, system.ramps.get(scope), now, policy)
        if per_second is not None:
            yield scope, per_second


def ramps(tenant: Tenant, scopes: Iterable[str], now: int, policy: PressurePolicy) -> Iterator[tuple[str, float]]:
    """Those of the tenant's scopes that take up again after a pause, each with its starts a second."""
    for scope in scopes:
        ramp = tenant.ramps.get(scope)
        per_second = None if ramp is None else pace.rate(False, ramp.since, now, policy)
        if per_second is not None:
            yield scope, per_second


def paused_for(tenant: Tenant, scopes: Iterable[str], now: int, policy: PressurePolicy) -> Hold | None:
    """The first of the tenant's scopes whose next start is yet to come, of those that take up again."""
    for scope, _ in ramps(tenant, scopes, now, policy):
        if tenant.ramps[scope].next_start > now:
            return Hold("PRESSURE_SLOW", TENANT, tenant.ramps[scope].next_start)
    return None


def take_up(tenant: Tenant, scope: str, now: int, policy: PressurePolicy) -> Tenant:
    """The tenant with a ramp that begins for a scope; a start that was booked stays booked, or resuming again and again
    would get round the pace. What has ended is forgotten."""
    going_on = {s: ramp for s, ramp in tenant.ramps.items() if pace.ramping(ramp.since, now, policy)}
    booked = tenant.ramps[scope].next_start if scope in tenant.ramps else 0
    return replace(tenant, ramps={**going_on, scope: Ramp(since=now, next_start=booked)})


def booked(tenant: Tenant, scopes: Iterable[str], now: int, policy: PressurePolicy) -> Tenant:
    """The tenant after a start in these scopes: the moment of the next one stands in each that takes up again."""
    moved = {
        scope: replace(tenant.ramps[scope], next_start=pace.booked(tenant.ramps[scope].next_start, now, per_second))
        for scope, per_second in ramps(tenant, scopes, now, policy)
    }
    return replace(tenant, ramps={**tenant.ramps, **moved}) if moved else tenant


def shunned(tenant: Tenant, now: int, policy: PressurePolicy, system_cap: int | None) -> Shunned:
    """The tenant's scopes whose lanes may not start now, though others of it may."""
    waits = {s: r.next_start for s, r in tenant.ramps.items() if s != TENANT and paused_for(tenant, (s,), now, policy)}
    half = half_holder(tenant, system_cap)
    until = Hold("PRESSURE_SLOW", TENANT, min(waits.values())) if waits else None
    return Shunned(frozenset(waits) | ({half} if half else frozenset()), half is not None, until)


def half_holder(tenant: Tenant, system_cap: int | None) -> str | None:
    """The repository of the tenant that would hold more than half of the system with one slot more, or None. There is
    at most one in all tenants while a slot is free."""
    if system_cap is None:
        return None
    repos = {scope for holder in tenant.holders.values() for scope in holder.scopes if scope.startswith("repo:")}
    return next((repo for repo in sorted(repos) if 2 * (use(tenant, repo) + 1) > system_cap), None)
