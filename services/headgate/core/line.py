"""The line: a run's fixed place in it, and the one function that changes a lane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from headgate.core.lane import Lane, LaneState
from headgate.core.run import Run, RunState
from headgate.core.tenant import Tenant, blocked

SEQ_BITS = 20
LATEST = 7_258_118_400_000
"""The year 2200 (ms): a place in line is one 64-bit number made of a time, so times have an end."""


def line_key(priority: int, queued_at: int, not_before: int | None, seq: int, ageing_seconds: float) -> int:
    """A run's place in its tenant's line, fixed for life: smaller starts earlier.

    Waiting ages a run upwards by one priority level per `ageing_seconds`. That is linear, so "priority now" orders
    any two runs the same way at every moment, and one number says it: the moment (ms) at which a run of priority 0
    would have had to be queued to stand here. Equal moments go by `seq`, which counts in the tenant.
    """
    since = max(queued_at, not_before or 0)
    level = round(ageing_seconds * 1000)
    return ((since - priority * level) << SEQ_BITS) + seq % (1 << SEQ_BITS)


def lane_after(tenant: Tenant, lane: Lane, head: int | None) -> Lane:
    """The lane with a new head: idle without one, parked on the first gated or full scope of it, else ready."""
    if head is None:
        return replace(lane, head=None, state=LaneState.IDLE, on=None)
    on = blocked(tenant, lane.scopes)
    return replace(lane, head=head, state=LaneState.READY if on is None else LaneState.PARKED, on=on)


def lane_woken(lane: Lane) -> Lane:
    """A parked lane made ready because the scope it waited for has room; a dispatch may park it on another one."""
    return replace(lane, state=LaneState.READY, on=None)


def stands_in_line(run: Run) -> bool:
    """Whether a run stands in its lane: queued, and not waiting for a moment or an answer."""
    return run.state is RunState.QUEUED and not run.delayed


def order(waiting: Iterable[Run]) -> tuple[Run, ...]:
    """One tenant's line by definition. The oracle of tests, never on a hot path."""
    return tuple(sorted((run for run in waiting if stands_in_line(run)), key=lambda run: run.key))
