"""Pause and resume a tenant, or a user, organisation or repository inside it.

Two phases: commit the gate as `pausing` (admission and promotion stop there), give back what is pending, commit it as
`paused`. If we die between, the sweep goes on from `pausing`. After the answer nothing of the subject starts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from headgate.core.scopes import TENANT, full_name
from headgate.core.tenant import Gate, Tenant
from headgate.flow import audit, brakes
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.fleet import deal_all
from headgate.flow.ledger import Ledger
from headgate.flow.revoke import revoke_all
from headgate.store.transaction import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """What is asked: `scope` is the local name (`tenant`, `repo:acme/web` …), `until` ms since 1970 or None."""

    scope: str = TENANT
    mode: str = "reject"
    until: int | None = None
    ticket: str | None = None


def pause(deps: Deps, dispatcher: Dispatcher, tenant_id: str, asked: Pause, why: audit.Reason) -> Tenant:
    """Put the gate up and give back what is pending. Pausing again replaces reason, mode and expiry. Raises NotFound."""

    def begin(tx: Tx) -> None:
        ledger = Ledger.open(tx, tenant_id, deps.policy)
        before = ledger.tenant.gates.get(asked.scope)
        gate = Gate(id=why.id, state="pausing", mode=asked.mode, reason=why.reason, by=why.actor, since=tx.now,
                    until=asked.until, ticket=asked.ticket)  # fmt: skip
        ledger.tenant = replace(ledger.tenant, gates={**ledger.tenant.gates, asked.scope: gate})
        subject = full_name(tenant_id, asked.scope)
        audit.record(tx, why, "pause", subject, before and asdict(before), asdict(gate), tenant_id)
        ledger.close()

    deps.store.transact(begin, tenant_id)
    finish_pause(deps, tenant_id, asked.scope, why.id)
    dispatcher.dispatch()
    return _tenant(deps, tenant_id)


def finish_pause(deps: Deps, tenant_id: str, scope: str, id: str) -> None:
    """The second phase; idempotent, and the sweep's way to end what a dead process began."""

    gate = _tenant(deps, tenant_id).gates.get(scope)
    if gate is None:
        return
    field, _, name = scope.partition(":")
    inside = ((field, "==", name),) if scope != TENANT else ()
    # Any gate, not only this one: who pauses what was just paused anew must not answer before it is so.
    settling = revoke_all(
        deps, (("tenant", "==", tenant_id), *inside), lambda tenant, shard: scope in tenant.gates, gate.mode
    )

    def settle(tx: Tx) -> None:
        ledger = Ledger.open(tx, tenant_id, deps.policy)
        gate = ledger.tenant.gates.get(scope)
        if gate is not None and gate.id == id and gate.state == "pausing":
            ledger.tenant = replace(ledger.tenant, gates={**ledger.tenant.gates, scope: replace(gate, state="paused")})
            ledger.close()

    deps.store.transact(settle, tenant_id)
    deal_all(deps, settling)


def resume(deps: Deps, dispatcher: Dispatcher, tenant_id: str, scope: str, why: audit.Reason) -> Tenant:
    """Take the gate down and wake what waited for it. Resuming what is not paused changes nothing. Raises NotFound."""

    def body(tx: Tx) -> None:
        ledger = Ledger.open(tx, tenant_id, deps.policy)
        gate = ledger.tenant.gates.get(scope)
        if gate is None:
            return
        gates = {other: held for other, held in ledger.tenant.gates.items() if other != scope}
        ledger.tenant = replace(ledger.tenant, gates=gates)
        if ledger.tenant.waiting if scope == TENANT else scope in ledger.tenant.parked:
            # Who waited starts at a pace.
            ledger.tenant = brakes.take_up(ledger.tenant, scope, tx.now, deps.policy.pressure)
        if scope != TENANT:
            ledger.touched.append(scope)
        audit.record(tx, why, "resume", full_name(tenant_id, scope), asdict(gate), None, tenant_id)
        ledger.close()

    deps.store.transact(body, tenant_id)
    dispatcher.dispatch()
    return _tenant(deps, tenant_id)


def _tenant(deps: Deps, tenant_id: str) -> Tenant:
    tenant = deps.store.get(Tenant, tenant_id)
    assert tenant is not None  # tenants are never deleted, and the commit before has read it
    return tenant
