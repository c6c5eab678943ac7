"""Shares between tenants: slot-seconds in proportion to weight, nothing gained by splitting, no credit hoarded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import cycle, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.fairness import order, pick
from headgate.core.tenant import Tenant
from tests.support.fleet import Fleet, Rule, a_fleet
from tests.support.laws import counterexample, quick
from tests.support.values import a_gate, a_run, a_tenant, holders

# --- whose turn it is


def offering(id: str, turn: float, *kinds: str) -> Tenant:
    return a_tenant(id, turn=turn, offers=kinds or ("git",))


@pytest.mark.parametrize(
    ("tenants", "out", "expected"),
    [
        pytest.param([], (), None, id="nobody"),
        pytest.param([offering("a", 2), offering("b", 1)], (), "b", id="least turn"),
        pytest.param([offering("b", 1), offering("a", 1)], (), "a", id="a tie goes by id"),
        pytest.param([offering("a", 9), a_tenant("b", turn=0)], (), "a", id="who offers nothing has no turn"),
        pytest.param([offering("a", 1), offering("b", 2, "command")], ("git",), "b", id="its kind is out"),
        pytest.param([offering("a", 1, "command", "git")], ("git",), "a", id="another kind of it is not"),
        pytest.param([offering("a", 1)], ("git", "command"), None, id="all kinds out"),
    ],
)
def test_pick(tenants: list[Tenant], out: tuple[str, ...], expected: str | None) -> None:
    chosen = pick(tenants, out)
    assert (chosen and chosen.id) == expected


# --- the worked example of core/fairness.py


def test_the_example_of_the_docstring() -> None:
    """Two tenants, four slots, ten seconds expected; A's runs take 5 s, B's 10 s."""
    fleet = a_fleet(4, {"A": 5.0, "B": 10.0})
    fleet.arrive("A", "B")
    fleet.run(until=0)
    assert [who for _, who in fleet.starts] == ["A", "B", "A", "B"]
    assert {t.id: t.turn for t in fleet.tenants.values()} == {"A": 20.0, "B": 20.0}

    turns: list[dict[str, float]] = []

    def watched(tenants: Iterable[Tenant]) -> Tenant | None:
        now = list(tenants)
        turns.append({t.id: t.turn for t in now})
        return pick(now)

    fleet.rule = watched
    fleet.run(until=5)
    assert turns[0] == {"A": 15.0, "B": 20.0}  # the first of A's two has ended: 5 served + 10 expected
    assert [who for at, who in fleet.starts if at == 5] == ["A", "A"]

    fleet.run(until=1_000)
    assert fleet.started()["A"] == pytest.approx(2 * fleet.started()["B"], rel=0.02)  # more starts
    assert fleet.held["A"] == pytest.approx(fleet.held["B"], rel=0.02)  # the same slot-seconds


# --- shares


def shares(fleet: Fleet, until: float = 1_000) -> dict[str, float]:
    """Slot-seconds by weight, of all tenants busy all the time, as parts of their sum."""
    fleet.arrive(*fleet.tenants)
    fleet.run(until)
    by_weight = {t: held / fleet.tenants[t].weight for t, held in fleet.held.items()}
    return {t: each / sum(by_weight.values()) for t, each in by_weight.items()}


@pytest.mark.parametrize("expected", [0.05, 1.0, 10.0, 60.0])
def test_weights_three_to_one(expected: float) -> None:
    """Whatever a run was expected to take: a wrong estimate must not bend the shares."""
    fleet = a_fleet(4, {"A": 2.0, "B": 3.0}, weights={"A": 3.0, "B": 1.0}, expected=expected)
    assert shares(fleet)["A"] == pytest.approx(0.5, abs=0.03)
    assert fleet.held["A"] / fleet.held["B"] == pytest.approx(3, rel=0.1)


Mix = tuple[int, list[tuple[float, list[float]]], float]
seconds = st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=1, max_size=4)
mixes = st.tuples(
    st.integers(2, 5),
    st.lists(st.tuples(st.sampled_from([1.0, 2.0, 3.0]), seconds), min_size=2, max_size=3),
    st.sampled_from([0.1, 2.0, 10.0]),
)


def fair(rule: Rule, sample: Mix) -> bool:
    """Over 300 s, no tenant's slot-seconds by weight stray further from the others' than a few runs take."""
    slots, tenants, expected = sample
    names = [f"t{i}" for i in range(len(tenants))]
    weights = {name: weight for name, (weight, _) in zip(names, tenants, strict=True)}
    durations = {name: cycle(each) for name, (_, each) in zip(names, tenants, strict=True)}
    fleet = Fleet(slots, durations, weights, expected, rule)
    fleet.arrive(*names)
    fleet.run(300)
    by_weight = [held / weights[name] for name, held in fleet.held.items()]
    in_flight = slots * max(5.0, expected)
    return max(by_weight) - min(by_weight) <= 2 * in_flight


@settings(quick, max_examples=20)
@given(mixes)
def test_any_mix_gets_shares_by_weight(sample: Mix) -> None:
    assert fair(pick, sample)


def round_robin() -> Rule:
    """Equal starts: whoever runs longer gets more."""
    starts: Counter[str] = Counter()

    def rule(tenants: Iterable[Tenant]) -> Tenant | None:
        chosen = min((t for t in tenants if t.offers), key=lambda t: (starts[t.id], t.id), default=None)
        starts.update([chosen.id] if chosen else [])
        return chosen

    return rule


def by_name() -> Rule:
    """The same one first, always."""
    return lambda tenants: min((t for t in tenants if t.offers), key=lambda t: t.id, default=None)


@pytest.mark.parametrize("rule", [round_robin, by_name])
def test_other_rules_are_noticed(rule: Callable[[], Rule]) -> None:
    counterexample(mixes, lambda sample: fair(rule(), sample))


# --- nothing gained by splitting, nothing saved by idling


def test_splitting_into_users_gains_nothing() -> None:
    """The account is the tenant's: how many users or repositories its runs name does not enter the turn."""
    users = {"one": repeat(("user:a",)), "many": cycle((f"user:{i}", f"repo:o/{i}") for i in range(10))}
    assert shares(a_fleet(4, {"one": 1.0, "many": 1.0}, scopes=users))["many"] == pytest.approx(0.5, abs=0.02)


def test_an_account_for_each_user_would_reward_splitting() -> None:
    """The control: were users the accounts, ten of them would get ten parts of eleven."""
    users = {"one": 1.0} | {f"many/{i}": 1.0 for i in range(10)}
    assert shares(a_fleet(4, users))["one"] == pytest.approx(1 / 11, abs=0.02)


@pytest.mark.parametrize(("catches_up", "low", "high"), [(True, 35, 45), (False, 75, 80)])
def test_idling_saves_no_credit(catches_up: bool, low: int, high: int) -> None:
    """A works alone for 60 s, then B comes: half of the next 20 s is B's. Without catching up it would have it all."""
    fleet = a_fleet(4, {"A": 1.0, "B": 1.0}, expected=1.0, catches_up=catches_up)
    fleet.arrive("A")
    fleet.run(60)
    fleet.arrive("B")
    fleet.run(80)
    assert low <= fleet.started(after=60, before=80)["B"] <= high


# --- the whole order by definition

WEB, API = "acme/web", "acme/api"


def started(waiting: list, tenants: list[Tenant], free: int = 9) -> tuple[str, ...]:
    return order(waiting, tenants, expected=10.0, free=free)


def test_blocked_runs_never_hide_runnable_ones() -> None:
    waiting = [a_run("first", key=1, repo=WEB), a_run("second", key=2, repo=API)]
    assert started(waiting, [a_tenant(holders=holders(2, f"repo:{WEB}"))]) == ("second",)


def test_a_start_counts_for_those_after_it() -> None:
    waiting = [a_run(f"web{i}", key=i, repo=WEB) for i in range(4)]
    assert started(waiting, [a_tenant()]) == ("web0", "web1")


def test_tenants_take_turns() -> None:
    waiting = [a_run(f"{t}{i}", key=i, tenant=t) for t in ("a", "b") for i in range(3)]
    tenants = [a_tenant("a", turn=15.0, served=15.0), a_tenant("b")]
    assert started(waiting, tenants, free=4) == ("b0", "b1", "a0", "b2")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 5),
        ({"cap": 2}, 2),
        ({"holders": holders(5)}, 0),
        ({"gates": {"tenant": a_gate("hold")}}, 0),
        ({"status": "suspended"}, 0),
    ],
)
def test_the_tenants_own_limits_hold(fields: dict, expected: int) -> None:
    waiting = [a_run(f"r{i}", key=i) for i in range(7)]
    assert len(started(waiting, [a_tenant(**fields)])) == expected


def test_no_more_than_is_free() -> None:
    waiting = [a_run(f"r{i}", key=i) for i in range(7)]
    assert started(waiting, [a_tenant()], free=0) == ()
    assert started(waiting, [a_tenant()], free=3) == ("r0", "r1", "r2")
