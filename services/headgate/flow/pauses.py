"""Pauses by the names that people use: of a kind, of a tenant, of a user, organisation or repository inside one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headgate.core.access import Caller, Permission
from headgate.core.errors import Forbidden, InvalidRequest, NotFound
from headgate.core.scopes import SYSTEM, TENANT, full_name, kind_scope, split_name
from headgate.core.tenant import Gate, Tenant
from headgate.core.wide import Control, ModeState
from headgate.flow import audit
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.fleet import close_kind, open_kind
from headgate.flow.pause import Pause, pause, resume

MOST_PAUSES = 200
"""Of one tenant at a time: they stand in its document, which every start reads."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What can be paused: a tenant and a local name in it, or (tenant None) a kind."""

    tenant: str | None
    local: str

    @property
    def name(self) -> str:
        """As people name it."""
        return self.local if self.tenant is None else full_name(self.tenant, self.local)

    @property
    def kind(self) -> str:
        """Of a wide scope."""
        return self.local.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A pause that stands, and of what. Times in ms since 1970."""

    scope: str
    state: str
    mode: str
    reason: str
    by: str
    since: int
    until: int | None
    ticket: str | None


def pausable(deps: Deps, caller: Caller, name: str) -> Scope:
    """What the name means, if this caller may pause it. Raises InvalidRequest, NotFound (unknown or foreign), Forbidden."""
    try:
        tenant, local = split_name(name)
    except ValueError as wrong:
        raise InvalidRequest(f"scope is {name[:200]!r}: it {wrong}.", field="scope") from None
    if local == SYSTEM:
        raise InvalidRequest("scope is the whole system: its mode is at /admin/draining.", field="scope")
    scope = Scope(tenant, local)
    if tenant is None:
        if not caller.may(Permission.PLATFORM_OPERATE):
            raise Forbidden(f"A kind is paused for everybody: this needs {Permission.PLATFORM_OPERATE}.")
        known = scope.kind in deps.kinds or deps.store.get(Control, local) is not None
    else:
        known = caller.sees(tenant) and deps.store.get(Tenant, tenant) is not None
    if not known:
        raise NotFound(f"There is no scope {name!r}.")
    return scope


def put_up(deps: Deps, dispatcher: Dispatcher, scope: Scope, asked: Pause, why: audit.Reason) -> Standing:
    """Pause it, or replace its pause. After the answer nothing of it starts. Raises InvalidRequest beyond MOST_PAUSES."""
    state: Gate | ModeState | None
    if scope.tenant is not None:
        _has_room(deps, scope.tenant, scope.local)
        state = pause(deps, dispatcher, scope.tenant, asked, why).gates.get(scope.local)
    else:
        control = close_kind(deps, dispatcher, scope.kind, asked.mode, why, until=asked.until, ticket=asked.ticket)
        state = control.closed.get(scope.kind)
    if state is None:  # somebody has resumed it meanwhile: the answer is what was done
        return Standing(scope=scope.name, state="paused", mode=asked.mode, reason=why.reason, by=why.actor,
                        since=deps.store.now(), until=asked.until, ticket=asked.ticket)  # fmt: skip
    return _standing(scope.name, state)


def _has_room(deps: Deps, tenant_id: str, local: str) -> None:
    """Raises InvalidRequest for a new pause inside a tenant that has its most. Pausing all of it is never refused."""
    tenant = deps.store.get(Tenant, tenant_id)
    gates = tenant.gates if tenant is not None else {}
    if local != TENANT and local not in gates and len(gates) >= MOST_PAUSES:
        raise InvalidRequest(
            f"{tenant_id} has {MOST_PAUSES} pauses, which is the most: resume one, or pause the whole tenant.",
            field="scope",
        )


def take_down(deps: Deps, dispatcher: Dispatcher, scope: Scope, why: audit.Reason) -> bool:
    """Resume it; whether it was paused."""
    paused = any(name == scope.name for name, _ in _all(deps, scope.tenant))
    if paused and scope.tenant is not None:
        resume(deps, dispatcher, scope.tenant, scope.local, why)
    elif paused:
        open_kind(deps, dispatcher, scope.kind, why)
    return paused


def standing(deps: Deps, caller: Caller) -> list[Standing]:
    """Every pause that stands, by scope: for operators all, for others those inside their tenant."""
    found = list(_all(deps, caller.tenant))
    if caller.tenant is None:
        found += [entry for tenant in deps.store.every(Tenant) for entry in _inside(tenant)]
    return sorted((_standing(name, state) for name, state in found), key=lambda one: one.scope)


def _all(deps: Deps, tenant_id: str | None) -> Iterator[tuple[str, Gate | ModeState]]:
    """Of one tenant, or (None) of the kinds."""
    if tenant_id is None:
        control = deps.store.get(Control, SYSTEM)
        yield from ((kind_scope(kind), state) for kind, state in (control.closed if control else {}).items())
        return
    tenant = deps.store.get(Tenant, tenant_id)
    yield from _inside(tenant) if tenant is not None else ()


def _inside(tenant: Tenant) -> Iterator[tuple[str, Gate]]:
    yield from ((full_name(tenant.id, local), gate) for local, gate in tenant.gates.items())


def _standing(name: str, state: Gate | ModeState) -> Standing:
    return Standing(
        scope=name,
        state=state.state,
        mode=state.mode,
        reason=state.reason,
        by=state.by,
        since=state.since,
        until=state.until,
        ticket=state.ticket,
    )
