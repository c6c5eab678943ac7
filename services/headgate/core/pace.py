"""Pace: how many starts a second there may be while the system is slow, or while it takes up again after a pause.

A start books the next moment at which another may follow, so no window of a second ever sees more than the rate. Nothing
is saved up: who comes late does not start two at once.
"""

from __future__ import annotations

from headgate.core.policy import PressurePolicy


def rate(slow: bool, ramp_since: int | None, now: int, policy: PressurePolicy) -> float | None:
    """Starts a second at `now` (ms); None = as many as there are slots. `ramp_since` is when a ramp began (ms)."""
    rates = [policy.slow_per_second] if slow else []
    if ramp_since is not None and ramping(ramp_since, now, policy):
        doublings = max(0, now - ramp_since) // round(policy.ramp_double_seconds * 1000)
        rates.append(policy.slow_per_second * 2.0**doublings)
    return min(rates, default=None)


def ramping(since: int, now: int, policy: PressurePolicy) -> bool:
    """Whether a ramp that began at `since` is still going on."""
    return now - since < policy.ramp_seconds * 1000


def booked(next_at: int, now: int, per_second: float) -> int:
    """The moment (ms) from which another start may follow one made at `now`."""
    return max(next_at, now) + round(1000 / per_second)
