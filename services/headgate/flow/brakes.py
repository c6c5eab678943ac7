"""Brakes: what holds starts back though slots are free. They never park a lane; a pass of dispatch goes round them.

pressure `slow` and ramps   a pace per scope: a start books the moment of the next one, in its own commit
host memory                 embedded: nothing starts while the machine has less free than the run may use
half of the system          no repository takes more than half of the slots while somebody else could start

Pressure and ramps stand in every system shard, which each start writes under its version: nothing starts on an older
state. If a process dies while it waits for the next moment, the sweep of another goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headgate.core import pace
from headgate.core.policy import PressurePolicy
from headgate.core.scopes import SYSTEM, TENANT, kind_scope
from headgate.core.tenant import Tenant, use
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


def held(tx: Tx, deps: Deps, tenant: Tenant, system: Shard, kind: str) -> Hold | None:
    """The first pace that a start of this tenant and kind would break, read so that the commit verifies it."""
    pressure = deps.policy.pressure
    for scope, _ in paced(system, kind, tx.now, pressure):
        control = tx.get(Control, scope)
        if control is not None and control.next_start > tx.now:
            return Hold("PRESSURE_SLOW", scope, control.next_start)
    if tenant_rate(tenant, tx.now, pressure) is not None and tenant.next_start > tx.now:
        return Hold("PRESSURE_SLOW", TENANT, tenant.next_start)
    return None


def short_of_memory(deps: Deps, memory_bytes: int, now: int) -> Hold | None:
    """Whether this host has too little free memory for a run that may use so much."""
    free = deps.host.free_memory()
    return Hold("HOST_MEMORY", SYSTEM, now + LOOK_AGAIN_MS) if free is not None and free < memory_bytes else None


def paced(system: Shard, kind: str, now: int, policy: PressurePolicy) -> Iterator[tuple[str, float]]:
    """The wide scopes of a start whose starts are paced now, each with its starts a second."""
    for scope in (SYSTEM, kind_scope(kind)):
        per_second = pace.rate(system.slow and scope == SYSTEM, system.ramps.get(scope), now, policy)
        if per_second is not None:
            yield scope, per_second


def tenant_rate(tenant: Tenant, now: int, policy: PressurePolicy) -> float | None:
    """Starts a second of a tenant that takes up again after a pause; None = no bound."""
    return pace.rate(False, tenant.ramp_since, now, policy)


def half_holder(tenant: Tenant, system_cap: int | None) -> str | None:
    """The repository of the tenant that would hold more than half of the system with one slot more, or None. There is
    at most one in all tenants while a slot is free."""
    if system_cap is None:
        return None
    repos = {scope for holder in tenant.holders.values() for scope in holder.scopes if scope.startswith("repo:")}
    return next((repo for repo in sorted(repos) if 2 * (use(tenant, repo) + 1) > system_cap), None)
