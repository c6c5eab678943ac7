"""Views of tenants and, for operators, of the whole: who holds what, and whether the books are right."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.api import cursors
from headgate.api.body import read
from headgate.api.exchange import Ask, Reply, View
from headgate.api.models import AuditAnswer, SlotsAnswer, ViolationAnswer
from headgate.api.requests import AuditRequest
from headgate.api.wire import scope_answer, tenant_json
from headgate.core.access import Permission
from headgate.core.run import Run
from headgate.flow import invariants, overview
from headgate.flow.audit import Reason
from headgate.flow.invariants import Report
from headgate.flow.repair import Repair, repair
from headgate.wiring import System


class TenantViews:
    """`/tenants` and `/admin`."""

    def __init__(self, system: System) -> None:
        self._deps = system.deps
        self._dispatcher = system.dispatcher

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {
            "listTenants": self.list,
            "getTenant": self.get,
            "listSlots": self.slots,
            "audit": self.audit,
        }

    def list(self, ask: Ask) -> Reply:
        """Operators see all tenants, others their own."""
        ask.require(Permission.TENANT_READ)
        after = str(cursors.decoded(ask.query["cursor"], str)[0]) if "cursor" in ask.query else None
        tenants, last = overview.tenants_of(self._deps, ask.caller, ask.limit, after)
        items = [tenant_json(tenant, self._deps.policy) for tenant in tenants]
        return Reply(body={"items": items, "nextCursor": None if last is None else cursors.encoded(last)})

    def get(self, ask: Ask) -> Reply:
        """One tenant."""
        tenant = overview.find_tenant(self._deps, ask.caller, ask.path["tenantId"])
        return Reply(body=tenant_json(tenant, self._deps.policy))

    def slots(self, ask: Ask) -> Reply:
        """Every scope with its holders."""
        ask.require(Permission.PLATFORM_READ)
        held = overview.held_scopes(self._deps)
        ids = sorted({run_id for scope in held for run_id in scope.holders})
        runs = {run.id: run for run in self._deps.store.get_all(Run, ids) if run is not None} if ids else {}
        return Reply(body=SlotsAnswer(scopes=[scope_answer(scope, runs) for scope in held]).as_json())

    def audit(self, ask: Ask) -> Reply:
        """Recount everything; repair only when told to, and then tell what still stands."""
        ask.require(Permission.PLATFORM_OPERATE)
        asked = read(AuditRequest, ask.body, optional=True)
        report = invariants.check(self._deps)
        repaired: Sequence[Repair] = ()
        if asked.repair and report.violations:
            why = Reason(
                id="",
                actor=ask.caller.credential,
                reason=asked.reason or "",
                request_id=ask.correlation.request_id,
            )
            repaired = repair(self._deps, self._dispatcher, why)
            report = invariants.check(self._deps)
        return Reply(body=_audit_answer(report, repaired).as_json())


def _audit_answer(report: Report, repaired: Sequence[Repair]) -> AuditAnswer:
    violations = [
        ViolationAnswer(invariant=found.invariant, subject=found.subject, detail=found.detail)
        for found in report.violations
    ]
    lines = [f"{one.subject}: {', '.join(one.done)} ({one.receipt})" for one in repaired]
    return AuditAnswer(violations=violations, checked=dict(report.checked), repaired=lines)
