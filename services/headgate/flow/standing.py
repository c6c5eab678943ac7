"""A tenant's standing: active, suspended or deactivated. To its runs the last two are pauses, in two phases like those:
suspended acts as the mode `reject`, deactivated as `drain_cancel`.
"""

from __future__ import annotations

from dataclasses import replace

from headgate.core.pauses import STATUS_MODES
from headgate.core.scopes import TENANT, full_name
from headgate.core.tenant import Gate, Tenant
from headgate.flow import audit, brakes
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.fleet import deal_all
from headgate.flow.ledger import Ledger
from headgate.flow.revoke import revoke_all
from headgate.store.transaction import Tx

ACTIVE = "active"


def set_status(deps: Deps, dispatcher: Dispatcher, tenant_id: str, status: str, why: audit.Reason) -> Tenant:
    """Active, suspended or deactivated from now on; saying it again changes nothing. Raises NotFound.

    After the answer nothing of a tenant that is not active starts.
    """

    def begin(tx: Tx) -> str | None:
        ledger = Ledger.open(tx, tenant_id, deps.policy)
        before = ledger.tenant
        if before.status == status:
            return _id(before.status_gate)
        gate = _gate(status, why, tx.now)
        ledger.tenant = replace(before, status=status, status_gate=gate)
        if status == ACTIVE and before.waiting:
            # Who waited starts at a pace.
            ledger.tenant = brakes.take_up(ledger.tenant, TENANT, tx.now, deps.policy.pressure)
        said = {"status": before.status}, {"status": status}
        audit.record(tx, why, "status.set", full_name(tenant_id, TENANT), *said, tenant_id)
        ledger.close()
        return _id(gate)

    id = deps.store.transact(begin, tenant_id)
    if id is not None:
        finish_status(deps, tenant_id, id)
    dispatcher.dispatch()
    return _tenant(deps, tenant_id)


def finish_status(deps: Deps, tenant_id: str, id: str) -> None:
    """The second phase; idempotent, and the sweep's way to end what a dead process began."""
    gate = _tenant(deps, tenant_id).status_gate
    if gate is None:
        return
    conditions = (("tenant", "==", tenant_id),)
    settling = revoke_all(deps, conditions, lambda tenant, shard: tenant.status_gate is not None, gate.mode)

    def settle(tx: Tx) -> None:
        ledger = Ledger.open(tx, tenant_id, deps.policy)
        gate = ledger.tenant.status_gate
        if gate is not None and gate.id == id and gate.state == "pausing":
            ledger.tenant = replace(ledger.tenant, status_gate=replace(gate, state="paused"))
            ledger.close()

    deps.store.transact(settle, tenant_id)
    deal_all(deps, settling)


def _gate(status: str, why: audit.Reason, now: int) -> Gate | None:
    if status == ACTIVE:
        return None
    mode = STATUS_MODES[status]
    return Gate(id=why.id, state="pausing", mode=mode, reason=why.reason, by=why.actor, since=now)


def _id(gate: Gate | None) -> str | None:
    return None if gate is None else gate.id


def _tenant(deps: Deps, tenant_id: str) -> Tenant:
    tenant = deps.store.get(Tenant, tenant_id)
    assert tenant is not None  # tenants are never deleted, and the commit before has read it
    return tenant
