"""Overrides over the policy's limits, in a tenant and in a wide scope; what a plan counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core import tenant as tenants
from headgate.core import wide
from headgate.core.errors import Code, LimitReached
from headgate.core.limits import Override, over, own_refusal
from headgate.core.plans import check_member
from headgate.core.policy import PLANS
from headgate.core.repositories import DAYS, fits, in_use, noted
from headgate.core.scopes import TENANT
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, Shard
from tests.support.laws import counterexample, quick
from tests.support.values import a_holder, a_tenant

WEB, ADA = "repo:acme/web", "user:ada"
DAY_MS = 24 * 3600 * 1000


def an_override(limit: int, **fields: object) -> Override:
    return Override(**{"id": "aud_1", "limit": limit, "base": 2, "by": "op", "reason": "", "since": 1, **fields})  # type: ignore[arg-type]


# --- a tenant


def test_set_and_taken_back_both_together() -> None:
    before = a_tenant(base={WEB: 4})
    after = tenants.overridden(before, WEB, an_override(1), now=7)
    assert (after.limits, after.overrides[WEB].limit, after.capped_at) == ({WEB: 1}, 1, 7)
    assert (tenants.limit(after, WEB), tenants.base_limit(after, WEB)) == (1, 4)
    again = tenants.overridden(after, WEB, None, now=9)
    assert (again.limits, again.overrides, again.capped_at, tenants.limit(again, WEB)) == ({}, {}, 9, 4)


def test_one_scope_s_override_leaves_the_others() -> None:
    tenant = tenants.overridden(a_tenant(limits={ADA: 9}), WEB, an_override(1), now=7)
    assert tenants.overridden(tenant, WEB, None, now=8).limits == {ADA: 9}


@pytest.mark.parametrize(("limit", "offers"), [(0, ()), (1, ()), (2, ("command",)), (9, ("command",))])
def test_the_tenant_s_own_override_wins_over_its_plan_everywhere(limit: int, offers: tuple[str, ...]) -> None:
    tenant = a_tenant(cap=1, holders={"a": a_holder()}, ready={"command": 1})
    tenant = tenants.overridden(tenant, TENANT, an_override(limit), now=1)
    assert tenants.full(tenant, TENANT) == (not offers)
    assert tenants.offering(tenant) == offers
    assert tenants.refreshed(tenant).offers == offers


# --- a wide scope

CAPS = st.one_of(st.none(), st.integers(0, 9))


@quick
@given(CAPS, CAPS, st.lists(st.one_of(CAPS.map(lambda n: ("base", n)), CAPS.map(lambda n: ("set", n))), max_size=8))
def test_the_cap_is_the_override_s_else_the_base(base: int | None, first: int | None, steps: list) -> None:
    control = Control(id="system", shards=1, cap=base, base=base)
    standing: int | None = None
    for what, number in [("set", first), *steps]:
        if what == "base":
            control, base = wide.rebased(control, number), number
        else:
            control = wide.overridden(control, None if number is None else an_override(number))
            standing = number
        assert control.cap == (base if standing is None else standing)
        assert control.base == base


def test_a_cap_that_stays_closes_nothing() -> None:
    control = Control(id="system", shards=1, cap=5, base=5)
    assert not wide.overridden(control, an_override(5)).settle
    assert not wide.rebased(wide.overridden(control, an_override(5)), 9).settle
    assert wide.overridden(control, an_override(4)).settle
    assert wide.overridden(wide.overridden(control, an_override(4)), an_override(5)).settle, "shards are closed already"


def test_free_capacity_is_never_negative() -> None:
    held = Shard(id="s~0", scope="s", index=0, credit=5, holders={"a": 1, "b": 1, "c": 1})
    control = wide.overridden(Control(id="s", shards=1, cap=5, base=5), an_override(2))
    assert wide.deal(control, [held]) is None
    dealt = wide.deal(control, [wide.given(held, "a")])
    assert dealt is not None
    assert (dealt[1][0].credit, dealt[1][0].free) == (2, False)


# --- who may, and until when


def test_until_is_the_moment_it_is_over() -> None:
    assert [over(an_override(1, until=5), now) for now in (4, 5, 6)] == [False, True, True]
    assert not over(an_override(1), 10**15)


@pytest.mark.parametrize(
    ("scope", "limit", "standing", "allowed"),
    [
        (TENANT, 5, None, True),
        (TENANT, 6, None, False),
        (TENANT, None, None, True),
        (WEB, 5, None, True),
        (WEB, 6, None, False),
        (ADA, 1, an_override(3, operator=False), True),
        (ADA, 1, an_override(3), False),
        (ADA, None, an_override(3), False),
        ("system", 1, None, False),
        ("kind:git", 1, None, False),
    ],
)
def test_what_a_tenant_may_set_itself(scope: str, limit: int | None, standing: Override | None, allowed: bool) -> None:
    assert (own_refusal(scope, limit, 5, standing) is None) == allowed


# --- repositories and members

MOVES = st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abcdef")), max_size=40)


def bounded(moves: list[tuple[int, str]], rule: object = fits) -> bool:
    """Whoever is let in: never more than three distinct ones within 30 days."""
    repos: dict[str, int] = {}
    used: list[tuple[int, str]] = []
    day = 100
    for later, name in moves:
        day += later
        repos = dict(in_use(repos, day * DAY_MS))
        if rule(repos, name, 3):  # type: ignore[operator]
            repos = dict(noted(repos, name, day * DAY_MS))
            used.append((day, name))
    return all(len({n for d, n in used if day - DAYS <= d <= day}) <= 3 for day, _ in used)


@quick
@given(MOVES)
def test_never_more_repositories_within_30_days(moves: list[tuple[int, str]]) -> None:
    assert bounded(moves)


def test_a_rule_that_is_one_too_generous_is_caught() -> None:
    assert counterexample(
        MOVES, lambda moves: bounded(moves, lambda repos, name, most: name in repos or len(repos) <= most)
    )


def test_no_repository_and_no_limit_always_fit() -> None:
    assert fits({"a": 1, "b": 1, "c": 1}, None, 3)
    assert fits({"a": 1, "b": 1, "c": 1}, "d", None)
    assert not fits({}, "a", 0)


def test_a_later_use_is_not_undone_by_an_earlier_one() -> None:
    assert noted(noted({}, "a", 9 * DAY_MS), "a", 3 * DAY_MS) == {"a": 9}


def test_members() -> None:
    check_member("ada", {"ada", "bob", "cyd"}, PLANS["free"])
    check_member("dan", {"ada", "bob"}, PLANS["free"])
    check_member("dan", {str(n) for n in range(99)}, PLANS["enterprise"])
    with pytest.raises(LimitReached) as refused:
        check_member("dan", {"ada", "bob", "cyd"}, PLANS["free"])
    assert (refused.value.code, refused.value.plan) == (Code.PLAN_LIMIT_MEMBERS, "free")


def test_a_tenant_of_an_older_file_has_no_overrides() -> None:
    assert Tenant(id="t", plan="pro", cap=5).overrides == {}
