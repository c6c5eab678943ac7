"""Views of limits at run time, of what other limits would do, and of the audit log."""

from __future__ import annotations

from dataclasses import asdict

from headgate.api import cursors
from headgate.api.body import read
from headgate.api.exchange import Ask, Reply, View
from headgate.api.limit_models import (
    AuditLogAnswer,
    AuditRecordAnswer,
    ComparisonAnswer,
    LimitAnswer,
    LimitRequest,
    LimitsAnswer,
    OverrideAnswer,
    TallyAnswer,
    WhatIfAnswer,
    WhatIfRequest,
)
from headgate.core.access import Permission
from headgate.core.errors import InvalidRequest
from headgate.core.policy import Policy
from headgate.core.whatif import LEFT_OUT, Comparison, Tally
from headgate.flow import audit, limits
from headgate.flow.limits import Change, LimitView
from headgate.flow.overview import find_tenant
from headgate.flow.whatif import what_if
from headgate.policy_file import PolicyError, load_policy
from headgate.web.moments import parse_rfc3339
from headgate.wiring import System


class LimitViews:
    """`…/limits` and `…/audit-log`, of operators and of tenants."""

    def __init__(self, system: System) -> None:
        self._deps = system.deps
        self._dispatcher = system.dispatcher

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {
            "listLimits": self.list,
            "setLimit": self.set,
            "whatIf": self.what_if,
            "listTenantLimits": self.list_of_tenant,
            "setTenantLimit": self.set_of_tenant,
            "listAuditLog": self.audit_log,
            "listTenantAuditLog": self.audit_log_of_tenant,
        }

    def list(self, ask: Ask) -> Reply:
        """Every limit."""
        ask.require(Permission.PLATFORM_READ)
        return _limits(*limits.every_limit(self._deps))

    def set(self, ask: Ask) -> Reply:
        """The limit as it is then."""
        ask.require(Permission.PLATFORM_OPERATE)
        return self._put(ask, None)

    def list_of_tenant(self, ask: Ask) -> Reply:
        """The tenant's."""
        return _limits(*limits.tenant_limits(find_tenant(self._deps, ask.caller, ask.path["tenantId"])))

    def set_of_tenant(self, ask: Ask) -> Reply:
        """The limit as it is then."""
        tenant = find_tenant(self._deps, ask.caller, ask.path["tenantId"])
        ask.require(Permission.SETTINGS_UPDATE)
        return self._put(ask, tenant.id)

    def _put(self, ask: Ask, tenant: str | None) -> Reply:
        asked = read(LimitRequest, ask.body)
        why = audit.Reason(
            id=self._deps.ids.new("aud"),
            actor=ask.caller.credential,
            reason=asked.reason,
            request_id=ask.correlation.request_id,
        )
        change = Change(scope=asked.scope, limit=asked.limit, until=asked.until)
        return _limits(limits.put_limit(self._deps, self._dispatcher, ask.caller, change, why, of=tenant))

    def what_if(self, ask: Ask) -> Reply:
        """Tenant by tenant, now and then."""
        ask.require(Permission.PLATFORM_READ)
        asked = read(WhatIfRequest, ask.body)
        proposed = _policy(asked.policy) if asked.policy is not None else asked.limits or {}
        found = what_if(self._deps, proposed, asked.since, asked.tenant)
        answer = WhatIfAnswer(
            since=found.since,
            until=found.until,
            receipts=found.receipts,
            agreeing=found.agreeing,
            tenants=[_comparison(one) for one in found.tenants],
            left_out=[*LEFT_OUT],
        )
        return Reply(body=answer.as_json())

    def audit_log(self, ask: Ask) -> Reply:
        """Everybody's records."""
        ask.require(Permission.PLATFORM_READ)
        return self._log(ask, None)

    def audit_log_of_tenant(self, ask: Ask) -> Reply:
        """The tenant's records."""
        tenant = find_tenant(self._deps, ask.caller, ask.path["tenantId"])
        ask.require(Permission.SETTINGS_UPDATE)
        return self._log(ask, tenant.id)

    def _log(self, ask: Ask, tenant: str | None) -> Reply:
        filters = {name: ask.query[name] for name in audit.FILTERS if name in ask.query}
        position = cursors.decoded(ask.query["cursor"], int, str) if "cursor" in ask.query else None
        after = None if position is None else (int(position[0]), str(position[1]))
        records, last = audit.log(self._deps, filters, _since(ask), ask.limit, after, tenant)
        items = [AuditRecordAnswer(**asdict(record)) for record in records]
        cursor = None if last is None else cursors.encoded(*last)
        return Reply(body=AuditLogAnswer(items=items, next_cursor=cursor).as_json())


def _since(ask: Ask) -> int | None:
    try:
        return parse_rfc3339(ask.query["since"]) if "since" in ask.query else None
    except ValueError as wrong:
        raise InvalidRequest(f"since {wrong}.", field="since") from wrong


def _policy(text: str) -> Policy:
    try:
        return load_policy(text, "policy")
    except PolicyError as wrong:
        raise InvalidRequest(" ".join(wrong.problems), field="policy") from wrong


def _limits(*found: LimitView) -> Reply:
    return Reply(body=LimitsAnswer(limits=[_limit(one) for one in found]).as_json())


def _limit(view: LimitView) -> LimitAnswer:
    set_ = view.override
    shown = None
    if set_ is not None:
        shown = OverrideAnswer(limit=set_.limit, by=set_.by, reason=set_.reason, since=set_.since, until=set_.until)
    return LimitAnswer(scope=view.scope, base=view.base, override=shown, effective=view.effective, used=view.used)


def _comparison(one: Comparison) -> ComparisonAnswer:
    recorded, now, then = (_tally(tally) for tally in (one.recorded, one.now, one.then))
    return ComparisonAnswer(tenant=one.tenant, submitted=one.submitted, recorded=recorded, now=now, then=then)


def _tally(tally: Tally) -> TallyAnswer:
    return TallyAnswer(
        admitted=tally.admitted,
        waited=tally.waited,
        refused=tally.refused,
        wait_p50=tally.p50,
        wait_p90=tally.p90,
    )
