"""Receipts: the stored record of one decision, made from the very facts that were decided on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headgate.core.access import Caller, Permission
from headgate.core.admission import Admit, Decision, Refuse, Request, View, Wait
from headgate.core.errors import Code, Forbidden, NotFound
from headgate.core.policy import Policy
from headgate.core.run import Run
from headgate.core.scopes import SYSTEM, TENANT, full_name, kind_scope
from headgate.core.tenant import Tenant, full, limit, use
from headgate.core.wide import Control
from headgate.flow.deps import Asking, Deps
from headgate.flow.ledger import DAY_MS
from headgate.store.documents import ReceiptRecord
from headgate.store.transaction import Tx

Receipt = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a receipt is made of."""

    request: Request
    view: View
    decision: Decision
    at: int
    asking: Asking


def receipt_of(facts: Facts, receipt_id: str, policy: Policy) -> Receipt:
    """The receipt, with the wire's key names; `at` and `retryAt` in ms since 1970."""
    decision, refused = facts.decision, isinstance(facts.decision, Refuse)
    retry_after = decision.retry_after if isinstance(decision, Refuse) else None
    return {
        "receiptId": receipt_id,
        "at": facts.at,
        "outcome": "refuse" if refused else "admit" if isinstance(decision, Admit) else "queue",
        "code": str(decision.code) if isinstance(decision, Refuse) else None,
        "scopes": _scopes(facts.request.run, facts.view),
        "binding": _binding(decision, facts.view.tenant),
        "mode": facts.view.wide.mode,
        "tenantStatus": status_of(facts.view.tenant),
        "pressure": facts.view.wide.pressure,
        "policyVersion": policy.version,
        "retryAt": None if retry_after is None else facts.at + retry_after * 1000,
        "runId": None if refused else facts.request.run.id,
        "requestId": facts.asking.request_id,
        "count": 1,
    }


def with_receipt(run: Run, receipt: Receipt) -> Run:
    """The run that carries one more receipt."""
    return replace(run, receipts=(*run.receipts, receipt))


def next_receipt_id(run: Run) -> str:
    """Run id and ordinal: a receipt in a run is found without a document of its own."""
    last = str(run.receipts[-1]["receiptId"]).rpartition(".")[2] if run.receipts else "0"
    return f"{run.id}.{int(last) + 1}"


def keep_refusal(deps: Deps, receipt: Receipt, tenant_id: str, now: int) -> None:
    """Store a refusal's receipt before it is answered. A blind create: if we die before it, nobody has seen the id."""
    record = ReceiptRecord(
        id=str(receipt["receiptId"]),
        tenant=tenant_id,
        at=now,
        body=dict(receipt),
        expire_at=now + deps.policy.retention.receipts * DAY_MS,
    )

    def create(tx: Tx) -> None:
        tx.create(record)

    deps.store.transact(create, f"receipt:{record.id}")


def keep_rate_receipt(deps: Deps, tenant_id: str, retry_after: int, request_id: str) -> str:
    """The receipt of requests that came too fast: no run was asked for that could be decided on, so it has no scopes."""
    tenant, control, now = deps.store.get(Tenant, tenant_id), deps.store.get(Control, SYSTEM), deps.store.now()
    receipt: Receipt = {
        "receiptId": deps.ids.new("rcpt"),
        "at": now,
        "outcome": "refuse",
        "code": str(Code.RATE_LIMITED),
        "scopes": [],
        "binding": full_name(tenant_id, TENANT),
        "mode": control.mode if control else "normal",
        "tenantStatus": status_of(tenant) if tenant else "active",
        "pressure": control.pressure.state if control else "ok",
        "policyVersion": deps.policy.version,
        "retryAt": now + retry_after * 1000,
        "runId": None,
        "requestId": request_id,
        "count": 1,
    }
    keep_refusal(deps, receipt, tenant_id, now)
    return str(receipt["receiptId"])


def recount(deps: Deps, receipt_id: str, count: int) -> None:
    """How many refusals a receipt stands for, known only when no more can share it."""

    def body(tx: Tx) -> None:
        record = tx.get(ReceiptRecord, receipt_id)
        if record is not None:
            tx.put(replace(record, body={**record.body, "count": count}))

    deps.store.transact(body, f"receipt:{receipt_id}")


def find_receipt(deps: Deps, caller: Caller, tenant_id: str, receipt_id: str) -> Receipt:
    """The receipt of that id. Raises NotFound, Forbidden."""
    missing = NotFound(f"There is no receipt {receipt_id!r}.")
    if not caller.sees(tenant_id):
        raise missing
    if not caller.may(Permission.RUNS_READ):
        raise Forbidden("Reading receipts needs the permission runs:read.")
    run_id, dot, _ = receipt_id.rpartition(".")
    if dot:
        run = deps.store.get(Run, run_id)
        found = [r for r in run.receipts if r["receiptId"] == receipt_id] if run and run.tenant == tenant_id else []
        if not found:
            raise missing
        return found[0]
    record = deps.store.get(ReceiptRecord, receipt_id)
    if record is None or record.tenant != tenant_id or record.expire_at <= deps.store.now():
        raise missing
    return record.body


def status_of(tenant: Tenant) -> str:
    """active, paused, suspended or deactivated: as people and receipts see a tenant."""
    return "paused" if tenant.status == "active" and TENANT in tenant.gates else tenant.status


def _scopes(run: Run, view: View) -> list[dict[str, object]]:
    tenant, wide = view.tenant, view.wide
    inside: list[tuple[str, int, int | None, bool]] = [
        (full_name(tenant.id, s), use(tenant, s), limit(tenant, s), full(tenant, s)) for s in (TENANT, *run.scopes)
    ]
    outside = [
        (SYSTEM, wide.system_used, wide.system_cap, not wide.system_free),
        (kind_scope(run.kind), wide.kind_used, wide.kind_cap, not wide.kind_free),
    ]
    return [
        {"scope": name, "used": used, "limit": cap, "full": is_full} for name, used, cap, is_full in inside + outside
    ]


def _binding(decision: Decision, tenant: Tenant) -> str | None:
    if isinstance(decision, Wait):
        return decision.blocked_by
    if isinstance(decision, Refuse):
        return decision.scope or (
            full_name(tenant.id, TENANT) if decision.code is Code.PLAN_LIMIT_CONCURRENCY else None
        )
    return None
