"""The arithmetic of one tenant's document: use and caps, gates, holders, the counts of lanes, offers and turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.scopes import TENANT
from headgate.core.tenant import (
    Holder,
    Tenant,
    blocked,
    freed_scopes,
    full,
    give,
    lifted,
    limit,
    offering,
    refreshed,
    take,
    use,
)
from tests.support.laws import counterexample, quick
from tests.support.values import NOW, a_gate, a_holder, a_tenant, holders

WEB, API, ADA = "repo:acme/web", "repo:acme/api", "user:ada"


# --- use and caps


def test_use_counts_the_holders_that_name_the_scope() -> None:
    tenant = a_tenant(holders={"a": a_holder(ADA, WEB), "b": a_holder(ADA), "c": a_holder()})
    assert {scope: use(tenant, scope) for scope in (TENANT, ADA, WEB, API)} == {TENANT: 3, ADA: 2, WEB: 1, API: 0}


@pytest.mark.parametrize(
    ("scope", "fields", "expected"),
    [
        pytest.param(TENANT, {"cap": 7}, 7, id="the tenant's own cap"),
        pytest.param(WEB, {}, 2, id="the default of its type"),
        pytest.param("org:acme", {}, None, id="a type without a default has no cap"),
        pytest.param(WEB, {"base": {WEB: 9}}, 9, id="the policy's override"),
        pytest.param(WEB, {"base": {WEB: 9}, "limits": {WEB: 0}}, 0, id="a run-time override wins, also 0"),
        pytest.param(API, {"limits": {WEB: 0}}, 2, id="an override is of one scope"),
        pytest.param(WEB, {"defaults": {}}, None, id="no default at all"),
    ],
)
def test_the_cap_in_force(scope: str, fields: dict, expected: int | None) -> None:
    assert limit(a_tenant(**fields), scope) == expected


@pytest.mark.parametrize(
    ("used", "cap", "expected"), [(0, 1, False), (1, 1, True), (2, 1, True), (0, 0, True), (9, None, False)]
)
def test_full_is_at_the_cap_and_stays_full_above_it(used: int, cap: int | None, expected: bool) -> None:
    tenant = a_tenant(holders=holders(used, WEB), defaults={"repo": cap})
    assert full(tenant, WEB) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="nothing in the way"),
        pytest.param({"holders": holders(2, WEB)}, WEB, id="full"),
        pytest.param({"gates": {WEB: a_gate("hold")}}, WEB, id="gated"),
        pytest.param({"holders": holders(3, ADA, WEB)}, ADA, id="the first of two full ones"),
        pytest.param({"gates": {WEB: a_gate()}, "holders": holders(3, ADA)}, ADA, id="full before gated, by order"),
        pytest.param({"gates": {API: a_gate()}, "holders": holders(2, API)}, None, id="another scope's matter"),
    ],
)
def test_blocked_names_the_first_scope_in_the_way(fields: dict, expected: str | None) -> None:
    assert blocked(a_tenant(**fields), (TENANT, ADA, WEB)) == expected


# --- holders


def test_taking_twice_is_once() -> None:
    once = take(a_tenant(), "run_1", a_holder(ADA, WEB))
    assert take(once, "run_1", a_holder(ADA, WEB)) == once
    assert [use(once, scope) for scope in (TENANT, ADA, WEB)] == [1, 1, 1]


def test_giving_back_twice_is_once() -> None:
    tenant = take(a_tenant(weight=2.0), "run_1", a_holder(WEB, since=NOW))
    once = give(tenant, "run_1", NOW + 3_000)
    assert (once.holders, once.served) == ({}, 1.5)  # 3 slot-seconds of a tenant of weight 2
    assert give(once, "run_1", NOW + 9_000) is once


def test_a_clock_that_went_back_takes_nothing_from_what_was_served() -> None:
    tenant = take(a_tenant(served=4.0), "run_1", a_holder(since=NOW))
    assert give(tenant, "run_1", NOW - 5_000).served == 4.0


Give = Callable[[Tenant, str, int], Tenant]
Deeds = list[tuple[bool, int, int]]

deeds = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 2)), max_size=30)


def the_books_balance(giving: Give, sample: Deeds) -> bool:
    """Takes and gives in any order, doubled too, against a plain dict of who holds since when."""
    tenant, model, served = a_tenant(), dict[str, int](), 0
    scopes = ((ADA,), (WEB,), (ADA, WEB))
    for at, (taking, number, shape) in enumerate(sample):
        id, now = f"run_{number}", NOW + at * 1000
        if taking and id not in model:
            tenant = take(tenant, id, a_holder(*scopes[shape], since=now))
            model[id] = now
        elif not taking:
            tenant = giving(tenant, id, now)
            served += (now - model.pop(id)) // 1000 if id in model else 0
    same = {id: holder.since for id, holder in tenant.holders.items()} == model
    sums = use(tenant, TENANT) == len(model) and use(tenant, ADA) + use(tenant, WEB) >= len(model)
    return same and sums and tenant.served == served


@quick
@given(deeds)
def test_any_order_of_takes_and_gives_balances(sample: Deeds) -> None:
    assert the_books_balance(give, sample)


def test_a_second_release_that_is_paid_again_is_noticed() -> None:
    def paid_twice(tenant: Tenant, id: str, now: int) -> Tenant:
        after = give(tenant, id, now)
        return replace(after, served=after.served + 1) if after is tenant else after

    counterexample(deeds, lambda sample: the_books_balance(paid_twice, sample))


# --- offers and turn


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, ("command", "git"), id="kinds with a ready lane, in order"),
        pytest.param({"ready": {}}, (), id="no ready lane"),
        pytest.param({"holders": holders(4)}, ("command", "git"), id="one slot left"),
        pytest.param({"holders": holders(5)}, (), id="at its cap"),
        pytest.param({"holders": holders(5), "cap": 3}, (), id="above a lowered cap"),
        pytest.param({"gates": {TENANT: a_gate("hold")}}, (), id="paused, in any mode"),
        pytest.param({"gates": {WEB: a_gate()}}, ("command", "git"), id="a scope's pause is not the tenant's"),
        pytest.param({"status": "suspended"}, (), id="suspended"),
        pytest.param({"status": "deactivated"}, (), id="deactivated"),
    ],
)
def test_what_a_tenant_offers(fields: dict, expected: tuple[str, ...]) -> None:
    tenant = a_tenant(**({"ready": {"git": 1, "command": 2}} | fields))
    assert offering(tenant) == expected
    assert refreshed(tenant).offers == expected


def test_the_turn_is_what_was_served_plus_what_is_expected_by_weight() -> None:
    flying: dict[str, Holder] = {"a": a_holder(expected=10), "b": a_holder(expected=4)}
    assert refreshed(a_tenant(served=100.0, weight=2.0, holders=flying)).turn == 107.0
    assert refreshed(a_tenant(served=100.0, turn=9e9)).turn == 100.0


@pytest.mark.parametrize(("served", "floor", "expected"), [(3.0, 8.0, 8.0), (8.0, 3.0, 8.0), (0.0, 0.0, 0.0)])
def test_coming_back_it_starts_at_the_fleets_time_but_never_behind_its_own(
    served: float, floor: float, expected: float
) -> None:
    assert lifted(a_tenant(served=served), floor).served == expected


# --- whom to wake


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, (WEB,), id="room, and a lane parked on it"),
        pytest.param({"parked": {}}, (), id="nobody parked"),
        pytest.param({"holders": holders(2, WEB)}, (), id="still full"),
        pytest.param({"gates": {WEB: a_gate("hold")}}, (), id="gated"),
        pytest.param({"parked": {WEB: {"git": 1}, API: {"git": 1}}}, (WEB,), id="only what was touched"),
        pytest.param({"parked": {WEB: {"git": 1}, ADA: {"git": 1}}}, (ADA, WEB), id="in the order touched"),
    ],
)
def test_freed_scopes(fields: dict, expected: tuple[str, ...]) -> None:
    tenant = a_tenant(**({"parked": {WEB: {"git": 1}}} | fields))
    assert freed_scopes(tenant, (ADA, WEB)) == expected
