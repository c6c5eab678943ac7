"""What the histories of the simulator must reach: a proof that never came to the hard places proves nothing."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.verify.mixes import MIXES

_DELIVERY = (
    "message dropped", "message duplicated", "message late", "messages reordered", "delivery with nothing to do",
    "dead letter: ended",
)  # fmt: skip
_PROCESSES = (
    "process killed", "process killed in the middle of something", "process stood still past its leases",
    "process stood still in the middle of something", "worker stalled past its lease", "clock skewed", "late result refused",
    "heartbeat of a dead attempt refused", "handed back: queued", "late hand-back refused", "logged lease.reclaimed",
)  # fmt: skip
_STORE = (
    "conflict", "fault: conflict", "fault: outage", "lost reply, applied", "lost reply, not applied",
    "lost reply, applied later", "late commit refused", "answered STORE_CONTENTION", "commit folds submits",
    "commit folds other bodies", "commit folds submits with other bodies",
)  # fmt: skip
_RUNS = (
    "accepted, starts", "accepted, waits", "answered IDEMPOTENCY_MISMATCH", "finished: completed", "finished: failed",
    "finished: queued", "moment came", "ended: expired", "ended: cancelled", "cancel: cancelled", "cancel: completed",
    "refused CONCURRENCY_SKIPPED", "refused QUEUE_FULL", "refused USER_LIMIT_QUEUED", "refused SCOPE_LIMIT_CONCURRENCY",
    "parked on a user", "parked on a org", "parked on a repo",
)  # fmt: skip
_SWITCHES = (
    "paused: hold", "paused: reject", "paused: drain", "paused: drain_cancel", "mode: draining", "mode: maintenance",
    "kind closed", "cap changed", "cap lowered below use", "limit inside a tenant changed", "refused TENANT_PAUSED",
    "refused SCOPE_PAUSED", "pending run given back", "refused SYSTEM_DRAINING", "refused SYSTEM_MAINTENANCE",
)  # fmt: skip
_CALM = ("no fault at all", "came to rest without a sweep", "a lull in which all was in order")
GOALS = (*_DELIVERY, *_PROCESSES, *_STORE, *_RUNS, *_SWITCHES, *_CALM, *(f"mix: {name}" for name in MIXES))

ENOUGH = 150
"""From so many histories on every goal must have been reached: the rarest comes up in one of ten or twenty."""


def missed(reached: Mapping[str, int]) -> tuple[str, ...]:
    """The goals that were never reached."""
    return tuple(goal for goal in GOALS if not reached.get(goal))
