"""Full scopes: who is refused, who waits and for what; no barging; pause modes by strictness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.admission import (
    Decision,
    FullScope,
    Refuse,
    Request,
    View,
    Wait,
    concurrency_refusal,
    decide,
    full_scopes,
    gate_mode,
    when_full,
)
from headgate.core.errors import Code
from headgate.core.policy import WHEN_FULL, OnLimit, Policy
from headgate.core.scopes import scope_type
from tests.support.laws import counterexample, quick
from tests.support.values import a_gate, a_holder, a_run, a_tenant, asking, holders, seeing

POLICY = Policy()
REPO, ADA, ORG = "repo:acme/web", "user:ada", "org:acme"

# --- the 429 word for word


def test_the_plans_limit_in_the_words_of_the_specification() -> None:
    assert decide(asking(), seeing(a_tenant(holders=holders(5))), POLICY) == Refuse(
        code=Code.PLAN_LIMIT_CONCURRENCY,
        error="Concurrency limit exceeded",
        reason="Concurrent run limit reached (5 concurrent runs on Pro plan). Wait for existing runs to complete.",
        current_usage=5,
        limit=5,
        plan="pro",
        retry_after=30,
    )


def test_a_lowered_cap_shows_what_is_really_in_use() -> None:
    refusal = decide(asking(), seeing(a_tenant(holders=holders(5), cap=2)), POLICY)
    assert isinstance(refusal, Refuse)
    assert (refusal.current_usage, refusal.limit) == (5, 2)


@pytest.mark.parametrize(
    ("fields", "wide", "scope", "used", "cap", "share"),
    [
        ({"holders": holders(2, REPO)}, {}, "repo:acme/acme/web", 2, 2, " (2 of 2)"),
        ({"holders": holders(3, ADA)}, {}, "user:acme/ada", 3, 3, " (3 of 3)"),
        ({"limits": {ORG: 1}, "holders": holders(1, ORG)}, {}, "org:acme/acme", 1, 1, " (1 of 1)"),
        ({}, {"kind_free": False, "kind_used": 5, "kind_cap": 5}, "kind:git", 5, 5, " (5 of 5)"),
        ({}, {"system_free": False, "system_used": 50, "system_cap": 50}, "system", 50, 50, " (50 of 50)"),
        ({}, {"waiters": True, "system_used": 9}, "system", 9, None, ""),
    ],
)
def test_another_scopes_limit_has_the_same_shape(
    fields: dict, wide: dict, scope: str, used: int, cap: int | None, share: str
) -> None:
    request = asking(OnLimit.REJECT, repo="acme/web", user="ada", kind="git")
    assert decide(request, seeing(a_tenant(**fields), **wide), POLICY) == Refuse(
        code=Code.SCOPE_LIMIT_CONCURRENCY,
        error="Concurrency limit exceeded",
        reason=f"Concurrent run limit of {scope} reached{share}. Wait for existing runs to complete.",
        scope=scope,
        current_usage=used,
        limit=cap,
        retry_after=30,
    )


# --- what a full scope does


@pytest.mark.parametrize("asked", [None, *OnLimit])
@pytest.mark.parametrize("setting", [None, "reject", "queue"])
def test_the_request_before_the_tenant_before_the_policy(asked: OnLimit | None, setting: str | None) -> None:
    for scope in ("tenant:acme", "user:acme/a", "org:acme/o", "repo:acme/o/n", "kind:git", "system"):
        expected = asked or setting or WHEN_FULL[scope_type(scope)]
        if expected in ("skip", "cancel_in_progress"):
            expected = OnLimit.QUEUE  # once no run with its key is in the way they act as queue
        assert when_full(asking(asked), a_tenant(on_limit=setting), scope, POLICY) == expected, scope


def test_a_scope_that_the_policy_does_not_name_queues() -> None:
    assert when_full(asking(), a_tenant(), "system", replace(POLICY, when_full={})) is OnLimit.QUEUE


TABLE = [
    pytest.param({"holders": holders(5)}, {}, None, Code.PLAN_LIMIT_CONCURRENCY, id="tenant full: refused"),
    pytest.param({"holders": holders(5)}, {}, OnLimit.QUEUE, "tenant:acme", id="tenant full, willing to wait"),
    pytest.param({"holders": holders(2, REPO)}, {}, None, "repo:acme/acme/web", id="repository full: waits"),
    pytest.param({"holders": holders(3, ADA)}, {}, None, "user:acme/ada", id="user full: waits"),
    pytest.param({}, {"kind_free": False}, None, "kind:command", id="kind full: waits"),
    pytest.param({}, {"system_free": False}, None, "system", id="system full: waits"),
    pytest.param(
        {"holders": {**holders(3), "x": a_holder(REPO), "y": a_holder(REPO)}}, {}, None, Code.PLAN_LIMIT_CONCURRENCY,
        id="repository and tenant full: reject wins",
    ),
    pytest.param(
        {"holders": holders(3, ADA, REPO)}, {"system_free": False, "kind_free": False}, None, "user:acme/ada",
        id="several full, all queue: the first binds",
    ),
    pytest.param(
        {"on_limit": "queue", "holders": holders(5)}, {}, None, "tenant:acme", id="the tenant's setting queues"
    ),
    pytest.param(
        {"on_limit": "queue", "holders": holders(5)}, {}, OnLimit.REJECT, Code.PLAN_LIMIT_CONCURRENCY,
        id="the request's word over the tenant's",
    ),
    pytest.param({}, {"waiters": True}, None, "system", id="somebody waits: no barging"),
    pytest.param({}, {"waiters": True}, OnLimit.REJECT, Code.SCOPE_LIMIT_CONCURRENCY, id="will not wait behind them"),
    pytest.param({"holders": holders(2, REPO)}, {"waiters": True}, None, "repo:acme/acme/web", id="full before waiters"),
    pytest.param(
        {"gates": {REPO: a_gate("hold")}, "holders": holders(2, REPO)}, {}, OnLimit.REJECT, "repo:acme/acme/web",
        id="a held scope queues, full or not",
    ),
    pytest.param(
        {"gates": {REPO: a_gate("hold")}, "holders": holders(5)}, {}, None, Code.PLAN_LIMIT_CONCURRENCY,
        id="a held scope does not soften a full one",
    ),
    pytest.param({}, {"closed": {"command": "hold"}}, OnLimit.REJECT, "kind:command", id="a held kind queues"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "wide", "on_limit", "expected"), TABLE)
def test_full_scopes_and_what_they_do(fields: dict, wide: dict, on_limit: OnLimit | None, expected: str) -> None:
    request = asking(on_limit, repo="acme/web", user="ada")
    decision = decide(request, seeing(a_tenant(**fields), **wide), POLICY)
    assert (decision.code if isinstance(decision, Refuse) else getattr(decision, "blocked_by", "")) == expected


@pytest.mark.parametrize("on_limit", [None, *OnLimit])
def test_a_delayed_run_waits_for_its_moment_whatever_is_full_now(on_limit: OnLimit | None) -> None:
    view = seeing(a_tenant(holders=holders(9, REPO, ADA)), system_free=False, kind_free=False, waiters=True)
    decision = decide(asking(on_limit, delayed=True, repo="acme/web", user="ada"), view, POLICY)
    assert decision == Wait(blocked_by="NOT_BEFORE")


def test_full_scopes_in_their_order() -> None:
    tenant = a_tenant(holders=holders(5, ADA, ORG, REPO), limits={ORG: 5})
    view = seeing(tenant, system_free=False, kind_free=False, kind_used=5, kind_cap=5, closed={"git": "hold"})
    found = full_scopes(asking(repo="acme/web", user="ada", kind="git"), view)
    assert [scope.name for scope in found] == [
        "tenant:acme", "user:acme/ada", "org:acme/acme", "repo:acme/acme/web", "kind:git", "system"
    ]  # fmt: skip
    assert [scope.gated for scope in found] == [False, False, False, False, True, False]
    assert found[4] == FullScope(name="kind:git", used=5, limit=5, gated=True)


# --- reject wins over queue, for any mix of full scopes and policies

Decide = Callable[[Request, View, Policy], Decision]
Mix = tuple[frozenset[str], dict[str, OnLimit]]
TYPES = ("tenant", "user", "org", "repo", "kind", "system")
mixes = st.tuples(
    st.frozensets(st.sampled_from(TYPES), min_size=1),
    st.fixed_dictionaries({t: st.sampled_from([OnLimit.REJECT, OnLimit.QUEUE]) for t in TYPES}),
)


def reject_wins(deciding: Decide, sample: Mix) -> bool:
    full, says = sample
    caps = {scope: 1 for scope, type in ((ADA, "user"), (ORG, "org"), (REPO, "repo")) if type in full}
    tenant = a_tenant(cap=1 if "tenant" in full else 5, limits=caps, holders=holders(1, ADA, ORG, REPO))
    view = seeing(tenant, kind_free="kind" not in full, system_free="system" not in full)
    policy = replace(POLICY, when_full=says)
    decision = deciding(asking(repo="acme/web", user="ada"), view, policy)
    rejecting = {type for type in full if says[type] is OnLimit.REJECT}
    if isinstance(decision, Refuse):
        return scope_type(decision.scope or "tenant:") in rejecting
    return not rejecting and isinstance(decision, Wait) and scope_type(decision.blocked_by) in full


@quick
@given(mixes)
def test_one_that_says_reject_wins(sample: Mix) -> None:
    assert reject_wins(decide, sample)


def _first_full_scope_decides(request: Request, view: View, policy: Policy) -> Decision:
    """The mistake: the policy of the first full scope is asked alone."""
    first = full_scopes(request, view)[0]
    if when_full(request, view.tenant, first.name, policy) is OnLimit.REJECT:
        return concurrency_refusal(first, view.tenant, policy)
    return Wait(blocked_by=first.name)


def _always_waits(request: Request, view: View, policy: Policy) -> Decision:
    return Wait(blocked_by=full_scopes(request, view)[0].name)


def _forgets_wide_scopes(request: Request, view: View, policy: Policy) -> Decision:
    return decide(request, replace(view, wide=replace(view.wide, kind_free=True, system_free=True)), policy)


@pytest.mark.parametrize("wrong", [_first_full_scope_decides, _always_waits, _forgets_wide_scopes])
def test_other_ways_to_combine_scopes_are_noticed(wrong: Decide) -> None:
    counterexample(mixes, lambda sample: reject_wins(wrong, sample))


# --- the strictest pause over a run


@pytest.mark.parametrize(
    ("fields", "closed", "expected"),
    [
        pytest.param({}, {}, None, id="none"),
        pytest.param({"gates": {"tenant": a_gate("hold")}}, {}, "hold", id="one"),
        pytest.param(
            {"gates": {"tenant": a_gate("hold"), REPO: a_gate("drain")}}, {"command": "reject"}, "drain", id="strictest"
        ),
        pytest.param({"gates": {"tenant": a_gate("reject")}}, {"command": "drain_cancel"}, "drain_cancel", id="kind"),
        pytest.param({"gates": {"repo:o/other": a_gate("drain")}}, {"git": "drain"}, None, id="somebody else's"),
        pytest.param({"status": "suspended"}, {}, "reject", id="suspended acts as reject"),
        pytest.param({"status": "deactivated"}, {"command": "hold"}, "drain_cancel", id="deactivated: drain_cancel"),
        pytest.param({"gates": {REPO: a_gate("hold")}, "status": "suspended"}, {}, "reject", id="reject over hold"),
    ],
)
def test_gate_mode(fields: dict, closed: dict, expected: str | None) -> None:
    assert gate_mode(a_tenant(**fields), a_run(repo="acme/web"), closed) == expected
