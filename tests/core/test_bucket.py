"""The token bucket, against a plain account of what may pass."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.bucket import Bucket, full_bucket, seconds_to_full, take
from tests.support.laws import counterexample, quick

STEPS = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4)), max_size=60)


def test_so_many_at_once_then_so_many_a_second() -> None:
    bucket = full_bucket(2.0, 3.0, now=10.0)
    for _ in range(3):
        bucket, wait = take(bucket, 10.0)
        assert wait == 0
    bucket, wait = take(bucket, 10.0)
    assert wait == pytest.approx(0.5)
    assert take(bucket, 10.49)[1] > 0
    bucket, wait = take(bucket, 10.5)
    assert wait == 0


def test_it_never_holds_more_than_its_burst() -> None:
    bucket = full_bucket(100.0, 5.0, now=0.0)
    assert take(bucket, 1e9, 5)[1] == 0
    assert take(bucket, 1e9, 6)[1] == math.inf
    assert full_bucket(100.0, 0.02, now=0.0).burst == 1  # a rate divided among many processes still lets one pass


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket, _ = take(full_bucket(1.0, 2.0, now=10.0), 10.0, 2)
    assert take(bucket, 5.0)[1] == pytest.approx(1.0)
    assert take(take(bucket, 5.0)[0], 11.0)[1] == 0


def test_when_it_is_full_again() -> None:
    bucket, _ = take(full_bucket(100.0, 500.0, now=0.0), 0.0)
    assert seconds_to_full(bucket) == pytest.approx(0.01)
    assert seconds_to_full(full_bucket(1.0, 1.0, now=0.0)) == 0


def passes(steps: list[tuple[float, int]], takes: object) -> list[tuple[float, int]]:
    """What got through, and when."""
    bucket, now, passed = full_bucket(2.0, 5.0, now=0.0), 0.0, []
    for pause, n in steps:
        now += pause
        bucket, wait = takes(bucket, now, n)  # type: ignore[operator]
        passed += [(now, n)] if wait == 0 else []
    return passed


def bounded(passed: list[tuple[float, int]]) -> bool:
    """No window, of whatever length, lets through more than the burst and what was filled meanwhile."""
    return all(
        sum(n for at, n in passed[i:] if at <= end) <= 5.0 + 2.0 * (end - start) + 1e-6
        for i, (start, _) in enumerate(passed)
        for end, _ in passed[i:]
    )


@quick
@given(STEPS)
def test_no_window_lets_more_through(steps: list[tuple[float, int]]) -> None:
    assert bounded(passes(steps, take))


def test_a_bucket_that_forgets_its_level_is_caught() -> None:
    """The negative control: filled up at every look."""

    def forgetful(bucket: Bucket, now: float, n: float) -> tuple[Bucket, float]:
        return take(full_bucket(bucket.per_second, bucket.burst, now), now, n)

    assert counterexample(STEPS, lambda steps: bounded(passes(steps, forgetful)))


@quick
@given(STEPS)
def test_who_waits_as_long_as_told_gets_through(steps: list[tuple[float, int]]) -> None:
    bucket, now = full_bucket(2.0, 5.0, now=0.0), 0.0
    for pause, n in steps:
        now += pause
        bucket, wait = take(bucket, now, n)
        if wait:
            bucket, again = take(bucket, now + wait + 1e-9, n)
            now += wait + 1e-9
            assert again == 0
