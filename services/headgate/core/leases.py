"""Leases and retries: until when a worker may hold a run, and what to do with one whose worker is gone."""

from __future__ import annotations

from dataclasses import replace

from headgate.core.policy import Execution
from headgate.core.run import Run, RunState


def beaten(run: Run, now: int) -> Run:
    """The run with its lease extended from `now`."""
    return replace(run, beat_at=now, lease_until=now + round(run.lease_seconds * 1000))


def expired(run: Run, now: int) -> bool:
    """Whether a running run's worker has been silent for longer than its lease. Judged by the store's own time."""
    return run.state is RunState.RUNNING and run.lease_until is not None and run.lease_until <= now


def may_retry(run: Run) -> bool:
    """Whether another attempt is left."""
    return run.attempt < run.max_attempts


def publish_wait_ms(publishes: int, policy: Execution) -> int:
    """How long a message that was sent so often may take before it is sent again: doubling, so that who is slow to take
    what was promised is not drowned in copies."""
    return round(1000 * policy.publish_grace_seconds * 2.0 ** (publishes - 1))


def backoff_ms(attempt: int, policy: Execution, jitter: float) -> int:
    """How long to wait before attempt + 1: exponential with full jitter (`jitter` in 0..1), never under the minimum / 2.

    Full jitter: AWS Architecture Blog, "Exponential Backoff and Jitter". The floor keeps a retry from being immediate.
    """
    ceiling = min(policy.backoff_max_seconds, policy.backoff_min_seconds * 2.0 ** (attempt - 1))
    floor = policy.backoff_min_seconds / 2
    return int(1000 * (floor + (ceiling - floor) * jitter))
