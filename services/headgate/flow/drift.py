"""Slots against runs, cheaply: the sweep's own look. The whole recount is `flow.invariants`."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.core.run import IN_FLIGHT, Run
from headgate.core.tenant import Tenant
from headgate.flow.deps import Deps

MOST = 50
"""Suspects that are looked at again; the alarm goes off long before."""


def slot_drift(deps: Deps, tenants: Sequence[Tenant], in_flight: int) -> int:
    """How many runs hold slots of their tenant and should not, or should and do not.

    While as many hold as are in flight nothing more is read (a leak and a lack at once pass unseen here). Else each
    difference is looked at again, for what was read one after the other differs while the system moves.
    """
    held = {run: tenant.id for tenant in tenants for run in tenant.holders}
    if len(held) == in_flight:
        return 0
    flying = {
        run.id: run.tenant for state in sorted(IN_FLIGHT) for run in deps.store.every(Run, ("state", "==", state))
    }
    suspects = sorted({**held, **flying}.items() - (held.items() & flying.items()))
    return sum(_wrong(deps, run_id, tenant_id) for run_id, tenant_id in suspects[:MOST])


def _wrong(deps: Deps, run_id: str, tenant_id: str) -> bool:
    """Slots change in the commit that changes the run: between two equal readings of the run the tenant is as it was."""
    before = deps.store.get(Run, run_id)
    tenant = deps.store.get(Tenant, tenant_id)
    after = deps.store.get(Run, run_id)
    if _stand(before) != _stand(after):
        return False
    holds = tenant is not None and run_id in tenant.holders
    return holds != (after is not None and after.state in IN_FLIGHT)


def _stand(run: Run | None) -> object:
    return None if run is None else (run.state, run.fence, run.attempt)
