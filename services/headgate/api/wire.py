"""From our values to what goes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from headgate.api import models
from headgate.core.policy import Policy, RunLimits
from headgate.core.run import Run
from headgate.core.scopes import TENANT
from headgate.core.tenant import Gate, Tenant, limit
from headgate.flow.overview import HeldScope, LineView
from headgate.flow.receipts import status_of
from headgate.web.moments import rfc3339 as moment


def run_json(run: Run, line: LineView | None = None) -> dict[str, Any]:
    """A run; `line` only when it has a place."""
    answer = _run(run, line).as_json()
    if line is None:
        del answer["line"]
    return answer


def _run(run: Run, line: LineView | None) -> models.RunAnswer:
    return models.RunAnswer(
        run_id=run.id,
        tenant_id=run.tenant,
        kind=run.kind,
        state=run.state,
        waiting=run.waiting,
        priority=run.priority,
        repo=run.repo,
        org=run.org,
        user=run.user,
        labels=dict(run.labels),
        input=json.loads(run.input),
        limits=_run_limits(run.limits),
        attempt=run.attempt,
        max_attempts=run.max_attempts,
        retry_of=run.retry_of,
        not_before=run.not_before,
        created_at=run.created_at,
        queued_at=run.queued_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        result=None if run.result is None else json.loads(run.result),
        error=None if run.error is None else models.RunErrorAnswer(code=run.error.code, message=run.error.message),
        artifacts=[models.ArtifactAnswer(**asdict(artifact)) for artifact in run.artifacts],
        usage=None if run.usage is None else models.UsageAnswer(**asdict(run.usage)),
        receipt_id=str(run.receipts[0]["receiptId"]) if run.receipts else None,
        line=None if line is None else line_answer(line),
    )


def line_answer(line: LineView) -> models.LineAnswer:
    """A queued run's place in line."""
    estimate = line.estimated_wait
    return models.LineAnswer(
        position=line.position,
        length=line.length,
        ahead_by_priority=line.ahead_by_priority,
        estimated_wait=None if estimate is None else models.EstimateAnswer(p50=estimate.p50, p90=estimate.p90),
        waiting_for=list(line.waiting_for),
        holders=list(line.holders),
        as_of=line.as_of,
    )


def _run_limits(limits: RunLimits) -> models.RunLimitsAnswer:
    return models.RunLimitsAnswer(**asdict(limits))


def tenant_json(tenant: Tenant, policy: Policy) -> dict[str, Any]:
    """A tenant."""
    gate = tenant.gates.get(TENANT)
    return models.TenantAnswer(
        tenant_id=tenant.id,
        plan=tenant.plan,
        status=status_of(tenant),
        pause=None if gate is None else _pause(gate),
        in_flight=len(tenant.holders),
        queued=tenant.waiting,
        limits=_tenant_limits(tenant, policy),
    ).as_json()


def _pause(gate: Gate) -> models.PauseAnswer:
    facts = asdict(gate)
    del facts["id"]
    return models.PauseAnswer(**facts)


def _tenant_limits(tenant: Tenant, policy: Policy) -> models.TenantLimitsAnswer:
    plan = policy.plan(tenant.plan)
    return models.TenantLimitsAnswer(
        concurrent=limit(tenant, TENANT) or 0,
        user=tenant.defaults.get("user"),
        repo=tenant.defaults.get("repo"),
        org=tenant.defaults.get("org"),
        monthly_runs=None if tenant.quota_exempt else plan.monthly_runs,
        priority_ceiling=plan.priority_ceiling,
        overrides={scope: cap for scope, cap in {**tenant.base, **tenant.limits}.items() if scope != TENANT},
        run=_run_limits(plan.run_limits),
    )


def scope_answer(held: HeldScope, runs: Mapping[str, Run]) -> models.ScopeAnswer:
    """A scope's slots with what is known of the runs that hold them."""
    holders = [_holder(run_id, since, runs.get(run_id)) for run_id, since in held.holders.items()]
    return models.ScopeAnswer(scope=held.scope, limit=held.limit, used=held.used, holders=holders)


def _holder(run_id: str, since: int, run: Run | None) -> models.HolderAnswer:
    return models.HolderAnswer(
        run_id=run_id,
        fence=None if run is None else run.fence,
        since=since,
        lease_until=None if run is None else run.lease_until,
        worker=None if run is None else run.worker,
    )


def receipt_json(receipt: Mapping[str, object]) -> dict[str, Any]:
    """A receipt: it has the wire's names already, only its times are ms."""
    times = {name: moment(int(str(receipt[name]))) for name in ("at", "retryAt") if receipt.get(name) is not None}
    return {**receipt, **times}
