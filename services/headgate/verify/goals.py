"""What the histories of the simulator must reach: a proof that never came to the hard places proves nothing."""

from __future__ import annotations

from collections.abc import Mapping

GOALS = (
    "accepted, starts", "accepted, waits", "process killed", "process killed in the middle of something",
    "lost reply, applied", "lost reply, not applied", "lost reply, applied later", "late commit refused",
    "message dropped", "message duplicated", "message late", "late result refused", "worker stalled past its lease",
    "heartbeat of a dead attempt refused", "finished: completed", "finished: failed", "finished: queued",
    "paused: drain_cancel", "paused: hold", "mode: maintenance", "mode: draining", "kind closed", "cap changed",
    "refused TENANT_PAUSED", "refused SYSTEM_DRAINING", "cancel: cancelled", "delivery with nothing to do", "conflict",
)  # fmt: skip

ENOUGH = 50
"""From so many histories on every goal must have been reached."""


def missed(reached: Mapping[str, int]) -> tuple[str, ...]:
    """The goals that were never reached."""
    return tuple(goal for goal in GOALS if not reached.get(goal))
