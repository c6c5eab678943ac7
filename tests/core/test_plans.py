"""The concurrency check in the shape of the original requirements, and the plans with their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.plans import check_concurrency_limit
from headgate.core.policy import Plan, Policy
from tests.support.laws import quick

LIMITS = {"free": 1, "pro": 5, "enterprise": 20}


@pytest.mark.parametrize(("plan", "limit"), LIMITS.items())
@pytest.mark.parametrize("over", [-1, 0, 1, 100])
def test_each_plan_below_at_and_above_its_limit(plan: str, limit: int, over: int) -> None:
    check = check_concurrency_limit(limit + over, plan)
    assert (check.allowed, check.current_usage, check.limit) == (over < 0, limit + over, limit)


def test_the_answer_has_the_requirements_keys() -> None:
    assert check_concurrency_limit(4, "pro").as_json() == {
        "allowed": True, "reason": None, "currentUsage": 4, "limit": 5
    }  # fmt: skip
    assert check_concurrency_limit(1, "free").as_json() == {
        "allowed": False,
        "reason": "Concurrent run limit reached (1 concurrent runs on Free plan). "
        "Wait for existing runs to complete.",
        "currentUsage": 1,
        "limit": 1,
    }  # fmt: skip


@pytest.mark.parametrize("plan", ["", "PRO", "platinum", "free "])
def test_an_unknown_plan_counts_as_the_strictest(plan: str) -> None:
    assert check_concurrency_limit(0, plan) == check_concurrency_limit(0, "free")
    assert check_concurrency_limit(1, plan) == check_concurrency_limit(1, "free")


def test_the_strictest_is_the_one_with_the_fewest_runs_whatever_its_name() -> None:
    wide = Plan(name="wide", concurrent=9, monthly_runs=None, repositories=None, members=None, priority_ceiling=9)
    tiny = Plan(name="tiny", concurrent=2, monthly_runs=None, repositories=None, members=None, priority_ceiling=9)
    policy = Policy(plans={"wide": wide, "tiny": tiny})
    assert policy.plan("gone") is tiny
    assert check_concurrency_limit(5, "wide", policy).allowed


@pytest.mark.parametrize(("cap", "allowed"), [(0, False), (4, False), (5, True), (50, True)])
def test_a_tenants_own_cap_overrides_the_plans(cap: int, allowed: bool) -> None:
    check = check_concurrency_limit(4, "free", cap=cap)
    assert (check.allowed, check.limit) == (allowed, cap)


@quick
@given(st.integers(0, 10**6), st.text(), st.one_of(st.none(), st.integers(0, 10**6)))
def test_one_more_is_allowed_exactly_below_the_limit(in_flight: int, plan: str, cap: int | None) -> None:
    check = check_concurrency_limit(in_flight, plan, cap=cap)
    assert check.allowed is (in_flight < check.limit)
    assert (check.reason is None) is check.allowed


def test_the_defaults_of_the_specification() -> None:
    policy = Policy()
    rows = {
        name: (p.title, p.concurrent, p.monthly_runs, p.repositories, p.members, p.priority_ceiling, p.default_priority, p.weight)
        for name, p in policy.plans.items()
    }  # fmt: skip
    assert rows == {
        "free": ("Free", 1, 100, 3, 3, 5, 5, 1.0),
        "pro": ("Pro", 5, 10_000, 50, 25, 7, 5, 1.0),
        "enterprise": ("Enterprise", 20, None, None, None, 9, 8, 1.0),
    }
    assert (policy.system, policy.user, policy.repo, policy.org) == (50, 3, 2, None)
    assert [policy.kind_cap(kind) for kind in ("git", "indexing", "command")] == [5, 10, None]
    assert (policy.line.total, policy.line.per_tenant, policy.line.per_user) == (1_000, 500, 10)
    assert (policy.retry_after_full, policy.retry_after_paused) == (30, 60)


def test_a_plan_never_gives_a_priority_that_it_forbids() -> None:
    for plan in Policy().plans.values():
        assert plan.default_priority <= plan.priority_ceiling
