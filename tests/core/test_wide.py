"""Wide scopes: credits of the shards add up to the cap, taking is idempotent, dealing respects what is held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.core.wide import Shard, deal, full, new_scope, shard_count, shard_id, taken
from headgate.core.wide import given as released
from tests.support.values import NOW

# --- a new scope


@pytest.mark.parametrize(
    ("cap", "shards", "credits"),
    [
        pytest.param(0, 1, {0}, id="closed from the start"),
        pytest.param(1, 1, {1}, id="one slot"),
        pytest.param(5, 5, {1}, id="as many shards as slots"),
        pytest.param(64, 64, {1}, id="the most shards"),
        pytest.param(65, 64, {1, 2}, id="above 64 some shards have more"),
        pytest.param(1_000, 64, {15, 16}, id="never apart by more than one"),
        pytest.param(None, 16, {None}, id="no limit"),
    ],
)
def test_a_new_scope(cap: int | None, shards: int, credits: set[int | None]) -> None:
    control, made = new_scope("kind:git", cap)
    assert (control.id, control.cap, control.base, control.shards, control.settle) == (
        "kind:git",
        cap,
        cap,
        shards,
        False,
    )
    assert len(made) == shards == shard_count(cap)
    assert {shard.credit for shard in made} == credits
    assert sum(shard.credit or 0 for shard in made) == (cap or 0)
    assert all(shard.free is (cap != 0) for shard in made)


def test_shards_are_named_numbered_and_spread() -> None:
    _, made = new_scope("kind:git", 4)
    assert [shard.id for shard in made] == [shard_id("kind:git", i) for i in range(4)]
    assert made[3].id == "kind:git~3"
    assert [(shard.scope, shard.index, shard.rnd) for shard in made] == [
        ("kind:git", 0, 0.0), ("kind:git", 1, 0.25), ("kind:git", 2, 0.5), ("kind:git", 3, 0.75)
    ]  # fmt: skip


# --- one shard


def a_shard(credit: int | None = 1, settle: bool = False, **holders: int) -> Shard:
    free = not settle and (credit is None or len(holders) < credit)
    return Shard(id="system~0", scope="system", index=0, credit=credit, holders=holders, settle=settle, free=free)


@pytest.mark.parametrize(
    ("shard", "expected"),
    [
        pytest.param(a_shard(1), False, id="a free slot"),
        pytest.param(a_shard(1, a=1), True, id="at its credit"),
        pytest.param(a_shard(1, a=1, b=1), True, id="above a lowered credit"),
        pytest.param(a_shard(0), True, id="a credit of 0"),
        pytest.param(a_shard(None, a=1), False, id="no limit"),
        pytest.param(a_shard(None, settle=True), True, id="settling, whatever the credit"),
    ],
)
def test_full(shard: Shard, expected: bool) -> None:
    assert full(shard) is expected


def test_taking_and_giving_back_are_idempotent() -> None:
    once = taken(a_shard(2), "run_1", NOW)
    assert taken(once, "run_1", NOW) == once
    assert (once.holders, once.free) == ({"run_1": NOW}, True)
    both = taken(once, "run_2", NOW)
    assert both.free is False
    back = released(both, "run_2")
    assert back == once
    assert released(back, "run_2") == once


def test_a_release_does_not_open_a_settling_shard() -> None:
    assert released(a_shard(2, settle=True, a=1), "a").free is False


# --- dealing


def test_a_cap_below_use_is_not_dealt_until_enough_was_given_back() -> None:
    control, shards = new_scope("system", 4)
    busy = [taken(shard, f"run_{shard.index}", NOW) for shard in shards]
    low = replace(control, cap=2, settle=True)
    assert deal(low, busy) is None
    left = [released(busy[0], "run_0"), released(busy[1], "run_1"), *busy[2:]]
    dealt = deal(low, left)
    assert dealt is not None
    assert dealt[0] == replace(low, settle=False)
    assert [shard.credit for shard in dealt[1]] == [0, 0, 1, 1]
    assert not any(shard.free for shard in dealt[1])


def test_from_no_limit_to_one_and_back() -> None:
    control, shards = new_scope("kind:git", None)
    dealt = deal(replace(control, cap=3, settle=True), shards)
    assert dealt is not None
    assert sum(shard.credit or 0 for shard in dealt[1]) == 3
    open_again = deal(replace(control, cap=None, settle=True), dealt[1])
    assert open_again is not None
    assert {(shard.credit, shard.free) for shard in open_again[1]} == {(None, True)}


def test_a_scope_made_with_one_shard_can_grow_large() -> None:
    control, shards = new_scope("kind:git", 0)
    dealt = deal(replace(control, cap=100, settle=True), shards)
    assert dealt is not None
    assert [shard.credit for shard in dealt[1]] == [100]
