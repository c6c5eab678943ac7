"""Leases and retries: until when, whether once more, and how long to wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.leases import backoff_ms, beaten, expired, may_retry
from headgate.core.policy import Execution
from headgate.core.run import RunState
from tests.support.laws import counterexample, quick
from tests.support.values import NOW, a_run


def test_a_heartbeat_extends_the_lease_from_now() -> None:
    run = beaten(a_run(state=RunState.RUNNING, lease_seconds=2.5, lease_until=NOW - 1), NOW)
    assert (run.beat_at, run.lease_until) == (NOW, NOW + 2_500)
    assert not expired(run, NOW + 2_499)
    assert expired(run, NOW + 2_500)


@pytest.mark.parametrize("state", RunState)
def test_only_a_running_run_has_a_lease_to_lose(state: RunState) -> None:
    assert expired(a_run(state=state, lease_until=NOW - 1), NOW) is (state is RunState.RUNNING)


def test_without_a_lease_nothing_expires() -> None:
    assert not expired(a_run(state=RunState.RUNNING, lease_until=None), NOW)


@pytest.mark.parametrize(
    ("attempt", "most", "expected"), [(1, 1, False), (1, 3, True), (2, 3, True), (3, 3, False), (4, 3, False)]
)
def test_attempts_are_bounded(attempt: int, most: int, expected: bool) -> None:
    assert may_retry(a_run(attempt=attempt, max_attempts=most)) is expected


@pytest.mark.parametrize(
    ("attempt", "jitter", "seconds"),
    [(1, 0.0, 1.0), (1, 1.0, 2.0), (2, 1.0, 4.0), (3, 0.5, 4.5), (6, 1.0, 60.0), (100, 1.0, 60.0), (100, 0.0, 1.0)],
)
def test_backoff_of_the_default_policy(attempt: int, jitter: float, seconds: float) -> None:
    assert backoff_ms(attempt, Execution(), jitter) == seconds * 1000


Backoff = Callable[[int, Execution, float], int]
Wait = tuple[int, Execution, float]
policies = st.tuples(st.floats(0.1, 100.0), st.floats(1.0, 50.0)).map(
    lambda pair: Execution(backoff_min_seconds=pair[0], backoff_max_seconds=pair[0] * pair[1])
)
waits = st.tuples(st.integers(1, 100), policies, st.floats(0.0, 1.0))


def within_bounds(backoff: Backoff, sample: Wait) -> bool:
    """At least half the minimum, so never at once; at most double for each attempt, and never above the maximum."""
    attempt, policy, _ = sample
    ceiling = min(policy.backoff_max_seconds, policy.backoff_min_seconds * 2 ** (attempt - 1))
    return policy.backoff_min_seconds * 500 - 1 <= backoff(*sample) <= ceiling * 1000


@quick
@given(waits)
def test_backoff_stays_within_its_bounds(sample: Wait) -> None:
    assert within_bounds(backoff_ms, sample)


@quick
@given(st.integers(1, 100), policies)
def test_jitter_spreads_over_the_whole_range(attempt: int, policy: Execution) -> None:
    """Full jitter: the two ends are reached, and more chance never means an earlier retry."""
    waits = [backoff_ms(attempt, policy, chance / 8) for chance in range(9)]
    ceiling = min(policy.backoff_max_seconds, policy.backoff_min_seconds * 2 ** (attempt - 1))
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == pytest.approx((policy.backoff_min_seconds * 500, ceiling * 1000), abs=1)


def _without_a_floor(attempt: int, policy: Execution, jitter: float) -> int:
    return int(1000 * min(policy.backoff_max_seconds, policy.backoff_min_seconds * 2.0 ** (attempt - 1)) * jitter)


def _without_a_ceiling(attempt: int, policy: Execution, jitter: float) -> int:
    return int(1000 * policy.backoff_min_seconds * (0.5 + jitter * (2.0 ** (attempt - 1) - 0.5)))


@pytest.mark.parametrize("wrong", [_without_a_floor, _without_a_ceiling])
def test_backoff_out_of_bounds_is_noticed(wrong: Backoff) -> None:
    counterexample(waits, lambda sample: within_bounds(wrong, sample))
