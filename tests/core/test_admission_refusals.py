"""Each refusal of admission: when it is given, and every field of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headgate.core.admission import Admit, LineView, Refuse, Request, View, Wait, decide
from headgate.core.errors import Code
from headgate.core.policy import Policy, PressurePolicy, RunLimits
from tests.support.values import a_gate, a_tenant, asking, seeing

POLICY = Policy()
REPO = "repo:acme/web"


def refused(request: Request, view: View, policy: Policy = POLICY) -> Refuse:
    decision = decide(request, view, policy)
    assert isinstance(decision, Refuse), decision
    return decision


def said(refusal: Refuse) -> dict[str, Any]:
    """The fields of a refusal that are set, without the words for people."""
    fields = {name: getattr(refusal, name) for name in Refuse.__dataclass_fields__}
    return {name: value for name, value in fields.items() if value is not None and name not in ("error", "reason")}


# --- it fits


def test_nothing_in_the_way_admits() -> None:
    assert decide(asking(repo="acme/web", user="ada"), seeing(), POLICY) == Admit()


@pytest.mark.parametrize(
    ("plan", "priority", "ceiling"), [("free", 6, 5), ("pro", 8, 7), ("enterprise", 10, 9), ("mystery", 6, 5)]
)
def test_priority_above_the_plans_ceiling(plan: str, priority: int, ceiling: int) -> None:
    view = seeing(a_tenant(plan=plan))
    name = "free" if plan == "mystery" else plan
    assert said(refused(asking(priority=priority), view)) == {
        "code": Code.PRIORITY_CEILING, "limit": ceiling, "plan": name
    }  # fmt: skip
    assert decide(asking(priority=ceiling), view, POLICY) == Admit()


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"memory_bytes": 1073741825}, "limits.memoryBytes asks for 1073741825, the Pro plan allows up to 536870912."),
        ({"duration_seconds": 300.5}, "limits.durationSeconds asks for 300.5, the Pro plan allows up to 300."),
        ({"cpu_cores": 3}, "limits.cpuCores asks for 3, the Pro plan allows up to 2."),
        ({"cpu_cores": float("nan")}, "limits.cpuCores asks for nan, the Pro plan allows up to 2."),
    ],
)
def test_more_than_the_plan_allows_can_never_fit(limits: dict, sentence: str) -> None:
    refusal = refused(asking(limits=RunLimits(**limits)), seeing())
    assert said(refusal) == {"code": Code.NEVER_FITS, "plan": "pro"}
    assert refusal.reason == sentence


@pytest.mark.parametrize(
    ("tenant", "wide", "scope"),
    [
        pytest.param({"cap": 0}, {}, "tenant:acme", id="tenant"),
        pytest.param({"limits": {REPO: 0}}, {}, "repo:acme/acme/web", id="repository"),
        pytest.param({"defaults": {"user": 0}}, {}, "user:acme/ada", id="every user"),
        pytest.param({"base": {"org:acme": 0}}, {}, "org:acme/acme", id="organisation"),
        pytest.param({}, {"kind_cap": 0}, "kind:command", id="kind"),
        pytest.param({}, {"system_cap": 0}, "system", id="system"),
        pytest.param({"cap": 0}, {"kind_cap": 0, "system_cap": 0}, "kind:command", id="the widest first"),
    ],
)
def test_a_cap_of_0_can_never_fit(tenant: dict, wide: dict, scope: str) -> None:
    refusal = refused(asking(repo="acme/web", user="ada"), seeing(a_tenant(**tenant), **wide))
    assert said(refusal) == {"code": Code.NEVER_FITS, "scope": scope, "limit": 0}


# --- mode and pauses


@pytest.mark.parametrize(
    ("mode", "code", "error"),
    [
        ("draining", Code.SYSTEM_DRAINING, "System draining"),
        ("maintenance", Code.SYSTEM_MAINTENANCE, "System under maintenance"),
    ],
)
def test_mode(mode: str, code: Code, error: str) -> None:
    refusal = refused(asking(), seeing(mode=mode))
    assert said(refusal) == {"code": code, "status": mode, "retry_after": 60}
    assert refusal.error == error


@pytest.mark.parametrize(
    ("status", "code"), [("suspended", Code.TENANT_SUSPENDED), ("deactivated", Code.TENANT_DEACTIVATED)]
)
def test_status_of_the_tenant(status: str, code: Code) -> None:
    refusal = refused(asking(), seeing(a_tenant(status=status)))
    assert said(refusal) == {"code": code, "status": status}  # no retryAfter: waiting does not help
    assert refusal.error == f"Tenant is {status}"
    assert "contact support" in refusal.reason


def test_a_paused_tenant_in_the_words_of_the_specification() -> None:
    assert refused(asking(), seeing(a_tenant(gates={"tenant": a_gate()}))) == Refuse(
        code=Code.TENANT_PAUSED,
        error="Tenant is temporarily paused",
        reason="Run processing is temporarily suspended. Try again later.",
        status="paused",
        retry_after=60,
    )


@pytest.mark.parametrize("state", ["pausing", "paused"])
@pytest.mark.parametrize(
    ("gate", "scope"),
    [("user:ada", "user:acme/ada"), ("org:acme", "org:acme/acme"), (REPO, "repo:acme/acme/web")],
)
def test_a_paused_scope(gate: str, scope: str, state: str) -> None:
    view = seeing(a_tenant(gates={gate: a_gate(state=state, reason="migration")}))
    refusal = refused(asking(repo="acme/web", user="ada"), view)
    assert said(refusal) == {"code": Code.SCOPE_PAUSED, "scope": scope, "status": "paused", "retry_after": 60}
    assert refusal.reason == f"Runs of {scope} are temporarily suspended (migration). Try again later."


def test_a_paused_kind() -> None:
    refusal = refused(asking(kind="git"), seeing(closed={"git": "reject"}))
    assert said(refusal) == {"code": Code.SCOPE_PAUSED, "scope": "kind:git", "status": "paused", "retry_after": 60}
    assert refusal.reason == "Runs of kind:git are temporarily suspended. Try again later."


@pytest.mark.parametrize("gate", ["user:bob", "repo:acme/api", "org:other"])
def test_somebody_elses_pause_is_no_matter(gate: str) -> None:
    view = seeing(a_tenant(gates={gate: a_gate()}), closed={"git": "reject"})
    assert decide(asking(repo="acme/web", user="ada"), view, POLICY) == Admit()


@pytest.mark.parametrize("mode", ["reject", "hold", "drain", "drain_cancel"])
@pytest.mark.parametrize(
    ("where", "code", "waits_for"),
    [
        pytest.param("tenant", Code.TENANT_PAUSED, "tenant:acme", id="tenant"),
        pytest.param(REPO, Code.SCOPE_PAUSED, "repo:acme/acme/web", id="repository"),
        pytest.param("kind", Code.SCOPE_PAUSED, "kind:command", id="kind"),
    ],
)
def test_hold_queues_what_the_other_modes_refuse(mode: str, where: str, code: Code, waits_for: str) -> None:
    gates = {} if where == "kind" else {where: a_gate(mode)}
    view = seeing(a_tenant(gates=gates), closed={"command": mode} if where == "kind" else {})
    decision = decide(asking(repo="acme/web"), view, POLICY)
    if mode == "hold":
        assert decision == Wait(blocked_by=waits_for)
    else:
        assert isinstance(decision, Refuse)
        assert decision.code == code


# --- quota and pressure


@pytest.mark.parametrize(
    ("fields", "refuses"),
    [
        pytest.param({"plan": "free", "month_runs": 99}, False, id="the hundredth of a hundred"),
        pytest.param({"plan": "free", "month_runs": 100}, True, id="all used"),
        pytest.param({"plan": "free", "month_runs": 100, "quota_exempt": True}, False, id="exempt"),
        pytest.param({"plan": "enterprise", "month_runs": 10**9}, False, id="a plan without a quota"),
        pytest.param({"plan": "pro", "month_runs": 10_000}, True, id="pro"),
    ],
)
def test_monthly_quota(fields: dict, refuses: bool) -> None:
    tenant = a_tenant(**fields)
    if not refuses:
        assert decide(asking(), seeing(tenant), POLICY) == Admit()
        return
    assert said(refused(asking(), seeing(tenant))) == {
        "code": Code.MONTHLY_QUOTA, "current_usage": tenant.month_runs, "limit": tenant.month_runs,
        "plan": tenant.plan, "retry_after": 3600,
    }  # fmt: skip


@pytest.mark.parametrize("pressure", ["ok", "slow", "shed"])
@pytest.mark.parametrize(("floor", "priority"), [(5, 4), (5, 5), (10, 7), (0, 0), (1, 0), (1, 1)])
def test_shedding_follows_the_policys_priority(pressure: str, floor: int, priority: int) -> None:
    policy = replace(POLICY, pressure=PressurePolicy(shed_below=floor))
    decision = decide(asking(priority=priority), seeing(pressure=pressure), policy)
    if pressure == "shed" and priority < floor:
        assert isinstance(decision, Refuse)
        assert said(decision) == {"code": Code.OVERLOADED, "retry_after": 60}
        assert f"below {floor}." in decision.reason
    else:
        assert decision == Admit()


# --- the bounds of the line


@pytest.mark.parametrize(
    ("waiting", "line", "expected"),
    [
        pytest.param(0, LineView(free=True, user_waiting=9), None, id="the tenth of ten"),
        pytest.param(
            0,
            LineView(free=True, user_waiting=10),
            {"code": Code.USER_LIMIT_QUEUED, "scope": "line:user/acme/ada", "current_usage": 10, "limit": 10},
            id="the user's line",
        ),
        pytest.param(499, LineView(free=True), None, id="the last place of the tenant"),
        pytest.param(
            500,
            LineView(free=True),
            {"code": Code.QUEUE_FULL, "scope": "line:tenant/acme", "current_usage": 500, "limit": 500},
            id="the tenant's line",
        ),
        pytest.param(
            0,
            LineView(free=False),
            {"code": Code.QUEUE_FULL, "scope": "line:system", "current_usage": 1000, "limit": 1000},
            id="the whole line",
        ),
        pytest.param(
            600,
            LineView(free=False, user_waiting=12),
            {"code": Code.USER_LIMIT_QUEUED, "scope": "line:user/acme/ada", "current_usage": 12, "limit": 10},
            id="the narrowest first",
        ),
    ],
)
def test_line_bounds(waiting: int, line: LineView, expected: dict | None) -> None:
    view = seeing(a_tenant(waiting=waiting), line, system_free=False)
    if expected is None:
        assert decide(asking(user="ada"), view, POLICY) == Wait(blocked_by="system")
    else:
        assert said(refused(asking(user="ada"), view)) == expected | {"retry_after": 30}


def test_line_bounds_are_only_for_what_would_wait() -> None:
    full = LineView(free=False, user_waiting=99)
    assert decide(asking(user="ada"), seeing(a_tenant(waiting=9_999), full), POLICY) == Admit()
    assert decide(asking(user="ada", delayed=True), seeing(), POLICY) == Wait(blocked_by="NOT_BEFORE")
    assert refused(asking(user="ada", delayed=True), seeing(line=full)).code == Code.USER_LIMIT_QUEUED


def test_a_run_without_a_user_has_no_users_bound() -> None:
    view = seeing(line=LineView(free=True, user_waiting=99), system_free=False)
    assert decide(asking(), view, POLICY) == Wait(blocked_by="system")
