"""The one transition table: which changes of state there are, and what each does to a run's record and slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from headgate.core.errors import IllegalTransition
from headgate.core.run import IN_FLIGHT, TERMINAL, Event, Run, RunError, RunState, ShardsHeld

S = RunState


class Change(StrEnum):
    """What can happen to a run after it was created."""

    PROMOTE = "promote"
    CLAIM = "claim"
    FINISH = "finish"
    RETRY = "retry"
    REVOKE = "revoke"
    HAND_BACK = "hand_back"
    AWAIT_INPUT = "await_input"
    GIVE_UP_FOR_INPUT = "give_up_for_input"
    ANSWER = "answer"
    DUE = "due"
    CANCEL = "cancel"
    EXPIRE = "expire"
    DEAD_LETTER = "dead_letter"


TABLE: dict[Change, tuple[frozenset[RunState], frozenset[RunState]]] = {
    Change.PROMOTE: (frozenset({S.QUEUED}), frozenset({S.PENDING})),
    Change.CLAIM: (frozenset({S.PENDING}), frozenset({S.RUNNING})),
    Change.FINISH: (frozenset({S.RUNNING}), frozenset({S.COMPLETED, S.FAILED, S.TIMED_OUT})),
    Change.RETRY: (frozenset({S.RUNNING}), frozenset({S.QUEUED})),
    Change.REVOKE: (frozenset({S.PENDING}), frozenset({S.QUEUED})),
    Change.HAND_BACK: (frozenset({S.RUNNING}), frozenset({S.QUEUED})),
    Change.AWAIT_INPUT: (frozenset({S.RUNNING}), frozenset({S.RUNNING})),
    Change.GIVE_UP_FOR_INPUT: (frozenset({S.RUNNING}), frozenset({S.QUEUED})),
    Change.ANSWER: (frozenset({S.RUNNING, S.QUEUED}), frozenset({S.RUNNING, S.QUEUED})),
    Change.DUE: (frozenset({S.QUEUED}), frozenset({S.QUEUED})),
    Change.CANCEL: (frozenset({S.QUEUED, S.PENDING, S.RUNNING}), frozenset({S.CANCELLED})),
    Change.EXPIRE: (frozenset({S.QUEUED}), frozenset({S.EXPIRED})),
    Change.DEAD_LETTER: (frozenset({S.PENDING}), frozenset({S.FAILED})),
}
"""Change → (states it may start from, states it may end in)."""

_NEW_FENCE = frozenset(
    {Change.CLAIM, Change.RETRY, Change.REVOKE, Change.HAND_BACK, Change.CANCEL, Change.GIVE_UP_FOR_INPUT}
)
"""Changes that raise the fence: whatever an older attempt still writes is refused."""


def slot_change(before: RunState | None, after: RunState) -> int:
    """What a change of state does to the slots of every scope of the run: -1, 0 or +1. The only definition of holding."""
    return int(after in IN_FLIGHT) - int(before in IN_FLIGHT)


def created(run: Run, now: int) -> Run:
    """A new run's first event; it starts `queued` or, admitted at once, `pending`."""
    if run.state not in (S.QUEUED, S.PENDING):
        raise IllegalTransition(f"a new run cannot be {run.state}")
    return with_event(run, now, f"run.{run.state}")


def advance(
    run: Run,
    change: Change,
    now: int,
    to: RunState | None = None,
    told: Mapping[str, object] | None = None,
    **facts: Any,
) -> Run:
    """`run` after `change` at `now` (ms), with `facts` = the fields that the change sets. Raises IllegalTransition.

    What is `told` besides stands in the event of the change.
    """
    target = _target(run, change, to)
    after = replace(run, state=target, fence=run.fence + (change in _NEW_FENCE), **facts)
    after = replace(after, **_consequences(change, after, now))
    return with_event(after, now, _event_type(change, after), **_event_data(change, after), **(told or {}))


def _target(run: Run, change: Change, to: RunState | None) -> RunState:
    """Where `change` takes the run. What may stay in its state stays; of several ends the caller names one."""
    sources, targets = TABLE[change]
    allowed = {run.state} if run.state in targets else targets
    target = to or (min(allowed) if len(allowed) == 1 else None)
    if target is None or run.state not in sources or target not in allowed:
        raise IllegalTransition(f"{change} cannot take run {run.id} from {run.state} to {target}")
    return target


def _consequences(change: Change, run: Run, now: int) -> dict[str, Any]:
    """The fields that follow from the change alone."""
    sets: dict[str, Any] = {}
    if run.state not in IN_FLIGHT:
        sets |= {"lease_until": None, "publish_due": None, "worker": None, "beat_at": None, "holding_since": None}
    if change is Change.CLAIM:
        sets |= {"started_at": run.started_at or now, "beat_at": now, "publish_due": None, "start_by": None}
        sets |= {"lease_until": now + round(run.lease_seconds * 1000)}
    elif change is Change.PROMOTE:
        sets |= {"holding_since": now}
    elif change is Change.RETRY:
        sets |= {"attempt": run.attempt + 1, "delayed": True, "queued_at": now, "waiting": None}
    elif change in (Change.REVOKE, Change.HAND_BACK):
        sets |= {"queued_at": run.queued_at or now, "waiting": None}  # the next attempt asks again
    elif change is Change.GIVE_UP_FOR_INPUT:
        sets |= {"delayed": True, "not_before": None, "queued_at": now}
    elif change is Change.DUE:
        sets |= {"delayed": False}
    elif change is Change.DEAD_LETTER:
        sets |= {"error": RunError(code="DEAD_LETTERED", message="The message was given up after its last delivery.")}
    if run.state in TERMINAL:
        sets |= {"finished_at": now, "waiting": None, "delayed": False, "start_by": None, "shards": ShardsHeld()}
    return sets


def _event_type(change: Change, run: Run) -> str:
    if change in (Change.AWAIT_INPUT, Change.ANSWER, Change.DUE):
        return f"run.{change}"
    return "run.finished" if run.state in TERMINAL else f"run.{run.state}"


def _event_data(change: Change, run: Run) -> dict[str, object]:
    data: dict[str, object] = {"state": str(run.state), "attempt": run.attempt, "fence": run.fence}
    if run.state is S.QUEUED:
        data["reason"] = str(change)
    if run.error is not None and (change is Change.RETRY or run.state in TERMINAL):
        data["error"] = {"code": run.error.code, "message": run.error.message}
    return data


def with_event(run: Run, now: int, kind: str, **data: object) -> Run:
    """The run with one more event; its number is the run's next."""
    seq = run.event_seq + 1
    facts = data or {"state": str(run.state), "attempt": run.attempt, "fence": run.fence}
    return replace(run, event_seq=seq, events=(*run.events, Event(seq=seq, at=now, type=kind, data=facts)))
