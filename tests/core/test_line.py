"""A place in line is one number, fixed for life, that says the same as "priority plus ageing" at every moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.line import SEQ_BITS, line_key, order, stands_in_line
from headgate.core.run import RunState
from tests.support.laws import counterexample, quick
from tests.support.values import NOW, a_run, names

AGEING = 300.0
LineKey = Callable[[int, int, int | None, int, float], int]


def key(priority: int = 5, queued: int = 0, not_before: int | None = None, seq: int = 1) -> int:
    """A place, `queued` seconds after NOW."""
    return line_key(priority, NOW + queued * 1000, not_before, seq, AGEING)


# --- by example


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(key(seq=1), key(seq=2), id="equal: first come, first served"),
        pytest.param(key(queued=0, seq=9), key(queued=1, seq=1), id="earlier first, whatever the number"),
        pytest.param(key(priority=7, queued=10, seq=2), key(priority=5), id="higher priority first"),
        pytest.param(key(priority=2, queued=0), key(priority=5, queued=901), id="three levels are made up in 15 min"),
        pytest.param(key(priority=5, queued=899), key(priority=2, queued=0), id="but not a second sooner"),
        pytest.param(key(priority=0), key(priority=9, queued=2_701), id="nothing starves: nine levels in 45 min"),
        pytest.param(key(queued=60), key(not_before=NOW + 61_000), id="a delayed run ages from its moment on"),
    ],
)
def test_who_stands_before_whom(first: int, second: int) -> None:
    assert first < second


def test_a_moment_that_has_passed_delays_nobody() -> None:
    assert key(queued=60, not_before=NOW) == key(queued=60)


@pytest.mark.parametrize("priority", [0, 9])
@pytest.mark.parametrize("ageing", [1.0, 300.0, 30 * 86_400.0])
@pytest.mark.parametrize("year", [1971, 2027, 2200])
def test_a_key_fits_the_stores_integers(year: int, ageing: float, priority: int) -> None:
    queued = round(datetime(year, 12, 31, tzinfo=UTC).timestamp() * 1000)
    assert -(2**63) <= line_key(priority, queued, None, 2**SEQ_BITS - 1, ageing) < 2**63


def test_the_number_in_the_tenant_wraps_without_touching_the_moment() -> None:
    late, wrapped = key(seq=2**SEQ_BITS - 1), key(queued=1, seq=2**SEQ_BITS)
    assert late < wrapped
    assert key(seq=5) == key(seq=2**SEQ_BITS + 5)


# --- by definition

Waiter = tuple[int, int, int]
waiters = st.tuples(st.integers(0, 9), st.integers(0, 4_000_000), st.integers(1, 2**SEQ_BITS - 1))
pairs = st.tuples(waiters, waiters, st.integers(0, 10**9), st.sampled_from([60.0, 300.0, 0.25, 3600.0]))


def definition(waiter: Waiter, at: int, ageing: float) -> tuple[float, int]:
    """Priority now, in thousandths of a level's time so that it is exact; then first come, first served."""
    priority, queued, seq = waiter
    return -(priority * ageing * 1000 + (at - queued)), seq


def agrees(make: LineKey, sample: tuple[Waiter, Waiter, int, float]) -> bool:
    """Whether the keys order two runs as the definition does, at this moment after both were queued."""
    one, two, later, ageing = sample
    at = max(one[1], two[1]) + later
    key_one, key_two = (make(p, NOW + q, None, seq, ageing) for p, q, seq in (one, two))
    by_definition = definition(one, at, ageing) < definition(two, at, ageing)
    return (key_one < key_two) == by_definition


@quick
@given(pairs)
def test_the_number_orders_like_priority_with_ageing_at_every_moment(
    sample: tuple[Waiter, Waiter, int, float],
) -> None:
    assert agrees(line_key, sample)


def _no_ageing(priority: int, queued: int, not_before: int | None, seq: int, ageing: float) -> int:
    return ((9 - priority) << 60) + (queued << SEQ_BITS) + seq


def _never_by_priority(priority: int, queued: int, not_before: int | None, seq: int, ageing: float) -> int:
    return line_key(5, queued, not_before, seq, ageing)


def _last_come_first(priority: int, queued: int, not_before: int | None, seq: int, ageing: float) -> int:
    return line_key(priority, queued // 1000 * 1000, not_before, -seq, ageing)


@pytest.mark.parametrize("wrong", [_no_ageing, _never_by_priority, _last_come_first])
def test_other_orders_are_noticed(wrong: LineKey) -> None:
    counterexample(pairs, lambda sample: agrees(wrong, sample))


# --- the line


def test_the_line_is_the_queued_runs_by_key() -> None:
    line = order(
        [
            a_run("late", key=30),
            a_run("delayed", key=1, delayed=True),
            a_run("first", key=10),
            a_run("started", key=2, state=RunState.PENDING),
            a_run("next", key=20),
        ]
    )
    assert names(line) == ["first", "next", "late"]


@pytest.mark.parametrize("state", RunState)
def test_only_a_queued_run_that_is_not_delayed_stands_in_line(state: RunState) -> None:
    assert stands_in_line(a_run(state=state)) is (state is RunState.QUEUED)
    assert not stands_in_line(a_run(state=state, delayed=True))
