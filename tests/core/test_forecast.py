"""The simulation of releases: against what can be computed by hand, and its laws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from headgate.core import pace
from headgate.core.forecast import (
    ENOUGH,
    UNPROVED,
    Durations,
    Estimate,
    Holder,
    Lane,
    Share,
    Sketch,
    Slots,
    expected_releases,
    forecast,
    not_before,
    paced_wait,
    sketch,
    stretch,
)
from headgate.core.policy import PressurePolicy

TEN = Sketch((10.0, 10.0))
SPREAD = sketch([float(n) for n in range(1, 101)], 10.0, [0.5] * 20)
RUN = Lane(kind="command")


def known(**kinds: Sketch) -> Durations:
    return lambda kind: kinds.get(kind, TEN)


def held(*ages: float | None, scopes: tuple[str, ...] = (), kind: str = "command") -> list[Holder]:
    return [Holder(kind=kind, scopes=("tenant", *scopes), age=age) for age in ages]


def seconds(
    ahead: list[Lane], holders: list[Holder], caps: Mapping[str, int], run: Lane = RUN, **more: object
) -> float | None:
    """p50 where every run takes ten seconds."""
    found = forecast(run, ahead, holders, known(), replace(Slots(caps=caps), **more))  # type: ignore[arg-type]
    assert found is None or found.p90 >= found.p50
    return None if found is None else found.p50


@pytest.mark.parametrize(
    ("ahead", "ages", "cap", "expected"),
    [
        (0, [4.0], 1, 6.0),  # the one slot comes back in 6 s
        (1, [4.0], 1, 16.0),
        (3, [4.0], 1, 36.0),
        (0, [1.0, 7.0], 2, 3.0),
        (1, [1.0, 7.0], 2, 9.0),
        (2, [1.0, 7.0], 2, 13.0),
        (0, [], 1, 0.0),  # a slot is free
        (5, [0.0] * 5, 5, 20.0),
        (200, [0.0] * 4, 4, 510.0),  # prolonged
    ],
)
def test_by_hand(ahead: int, ages: list[float], cap: int, expected: float) -> None:
    assert seconds([replace(RUN, count=ahead)], held(*ages), {"tenant": cap}) == pytest.approx(expected, rel=0.04)


def test_the_narrowest_scope_counts() -> None:
    web = Lane(kind="command", scopes=("repo:o/web",))
    caps = {"tenant": 5, "repo:o/web": 1, "system": 50}
    assert seconds([replace(web, count=2)], held(5.0, scopes=("repo:o/web",)), caps, web) == 25.0
    assert seconds([replace(web, count=2)], held(5.0, scopes=("repo:o/web",)), {"tenant": 5}, web) == 0.0


def test_what_is_blocked_elsewhere_is_overtaken() -> None:
    """A hundred of a full repository stand ahead; the run needs another one and only a slot of the tenant."""
    full, other = Lane(kind="command", scopes=("repo:a",), count=100), Lane(kind="command", scopes=("repo:b",))
    holders = [*held(2.0, 1.0, scopes=("repo:a",)), *held(6.0, scopes=("repo:b",))]
    assert seconds([full], holders, {"tenant": 3, "repo:a": 2, "repo:b": 2}, other) == 4.0


@pytest.mark.parametrize("caps", [{"tenant": 0}, {"system": 0}, {"kind:command": 0}])
def test_what_can_never_start_has_no_estimate(caps: dict[str, int]) -> None:
    assert seconds([], [], caps) is None


def test_a_tenant_with_a_smaller_turn_goes_first() -> None:
    holders = [Holder(kind="command", age=4.0)]
    rival = Share(turn=0.0, kind="command", waiting=3, room=5)
    alone = seconds([], holders, {"system": 1}, own=Share(turn=100.0))
    behind = seconds([], holders, {"system": 1}, own=Share(turn=100.0), rivals=(rival,))
    before = seconds([], holders, {"system": 1}, own=Share(turn=-1.0), rivals=(rival,))
    assert (alone, before, behind) == (6.0, 6.0, 36.0)


def test_equal_tenants_take_turns() -> None:
    rival = Share(turn=0.0, kind="command", waiting=100, room=5)
    found = seconds([replace(RUN, count=4)], [Holder(kind="command", age=0.0)], {"system": 1}, rivals=(rival,))
    assert found == pytest.approx(95, abs=10)  # four of its own, about five of the other's


def test_a_rival_without_a_free_slot_of_its_own_waits() -> None:
    rival = Share(turn=-9.0, kind="command", waiting=9, room=0)
    assert seconds([], [Holder(kind="command", age=4.0)], {"system": 1}, rivals=(rival,)) == 6.0


def test_equal_facts_equal_answer_and_p90_is_wider() -> None:
    asked = (RUN, [replace(RUN, count=7)], held(3.0, 30.0), known(command=SPREAD), Slots(caps={"tenant": 2}))
    first = forecast(*asked)
    assert first == forecast(*asked)
    assert first is not None
    assert 150 < first.p50 < first.p90 < 400
    assert first.basis == "history"


def test_too_little_history_says_so() -> None:
    young = sketch([1.0] * (ENOUGH - 1), 10.0)
    found = forecast(RUN, [], held(0.0), known(command=young), Slots(caps={"tenant": 1}))
    assert found is not None
    assert (found.basis, found.stretch) == ("default", UNPROVED)
    assert 5 < found.p50 < 15
    assert found.p90 > found.p50


def test_experience_widens_p90_alone() -> None:
    plain = forecast(RUN, [], held(3.0), known(command=SPREAD), Slots(caps={"tenant": 1}))
    wider = forecast(RUN, [], held(3.0), known(command=replace(SPREAD, stretch=2.0)), Slots(caps={"tenant": 1}))
    assert plain is not None
    assert wider is not None
    assert wider.p50 == plain.p50
    assert wider.p90 == pytest.approx(2 * plain.p90, rel=0.02)


@pytest.mark.parametrize(
    ("misses", "expected"),
    [
        ([], UNPROVED),
        ([2.0] * (ENOUGH - 1), UNPROVED),
        ([0.1] * 20, 1.0),  # never narrower
        ([99.0] * 20, 5.0),  # a paused week is no reason to say a month
        ([0.5] * 17 + [2.0, 2.5, 3.0], 2.5),
    ],
)
def test_stretch(misses: list[float], expected: float) -> None:
    assert stretch(misses) == expected


# --- sketches


def test_a_sketch_has_a_fixed_size_and_the_quantiles() -> None:
    big = sketch([float(n) for n in range(10_001)], 1.0)
    assert len(big.quantiles) == len(SPREAD.quantiles)
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert big.at(share) == pytest.approx(10_000 * share, abs=200)


def test_the_rest_of_a_run_is_of_those_that_took_longer() -> None:
    assert SPREAD.rest(0.0, 0.5) == pytest.approx(50, abs=2)
    assert SPREAD.rest(50.0, 0.5) == pytest.approx(25, abs=3)
    assert SPREAD.rest(90.0, 1.0) == pytest.approx(10, abs=1)
    assert SPREAD.rest(200.0, 0.5) == 100.0  # it has outlasted them all
    for age in (0.0, 0.5, 1.0, 33.3, 99.9, 100.0, 1e9):
        for share in (0.0, 0.3, 1.0):
            assert SPREAD.rest(age, share) >= 0.0


def test_runs_of_the_same_length_have_no_rest_to_guess() -> None:
    assert [TEN.rest(age, 0.7) for age in (0.0, 4.0, 10.0)] == [10.0, 6.0, 0.0]


def test_expected_releases_come_in_order() -> None:
    assert expected_releases(held(1.0, 9.0, 4.0), known()) == (1.0, 6.0, 9.0)


def test_an_estimate_is_what_it_says() -> None:
    assert Estimate(p50=1.0, p90=2.0).basis == "history"


# --- paces

POLICY = PressurePolicy(slow_per_second=2.0, ramp_double_seconds=10.0, ramp_seconds=60)


@pytest.mark.parametrize(
    ("starts", "slow", "age", "expected"),
    [
        (4, True, None, 2.0),  # half a second each
        (4, True, 59.0, 2.0),  # a ramp is nowhere slower
        (4, False, None, 0.0),  # no pace
        (8, False, 0.0, 4.0),
        (20, False, 0.0, 10.0),
        (60, False, 0.0, 20.0),  # 20 at two a second, 40 at four
        (8, False, 8.0, 3.0),  # four at two a second, four at four
        (100_000, False, 0.0, 60.0),  # then the ramp is over
        (100_000, False, 70.0, 0.0),
    ],
)
def test_the_nth_start_under_a_pace(starts: int, slow: bool, age: float | None, expected: float) -> None:
    since = None if age is None else 100_000 - round(age * 1000)
    assert paced_wait(starts, slow, since, 100_000, POLICY) == pytest.approx(expected)


@pytest.mark.parametrize("starts", [1, 7, 33, 150])
def test_it_is_what_booking_start_after_start_comes_to(starts: int) -> None:
    now = 0
    for _ in range(starts):
        per_second = pace.rate(False, 0, now, POLICY)
        assert per_second is not None
        now = pace.booked(now, now, per_second)
    assert paced_wait(starts, False, 0, 0, POLICY) == pytest.approx(now / 1000, abs=0.3)


def test_an_estimate_is_never_sooner_than_the_pace() -> None:
    found = Estimate(p50=1.0, p90=3.0, stretch=2.0)
    assert not_before(found, 4.0) == Estimate(p50=4.0, p90=8.0, stretch=2.0)
    assert not_before(found, 0.5) == found


def test_long_runs_are_met_more_often() -> None:
    """Nine of ten take 2 s and one 150 s: a run found in flight is most likely a long one."""
    mixed = sketch([2.0] * 90 + [150.0] * 10, 10.0)
    assert mixed.at(0.5) == 2.0
    assert mixed.met().at(0.5) == 150.0
    assert TEN.met().quantiles == TEN.quantiles
