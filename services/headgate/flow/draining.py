"""How far a drain has come, and the record of how long it took."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headgate.core.errors import NotFound
from headgate.core.run import IN_FLIGHT, LIVE, Run, RunState
from headgate.core.scopes import SYSTEM
from headgate.core.wide import Control, ModeState
from headgate.flow import audit
from headgate.flow.deps import Deps
from headgate.flow.fleet import CONTROL_KEY
from headgate.store.documents import where
from headgate.store.transaction import Tx

DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """The system's mode and what is still to do. `running` = pending and running. Times in ms, `seconds` how long the
    drain took once it is over."""

    mode: str
    since: int | None
    by: str | None
    reason: str | None
    total: int
    running: int
    queued: int
    estimated_seconds: float | None
    seconds: float | None

    @property
    def finished(self) -> int:
        """How many of them have ended."""
        return self.total - self.running - self.queued


def look_at(deps: Deps) -> Draining:
    """Now. The estimate is the rate since the drain began, carried on: None until the first run has ended."""
    control = _control(deps)
    state = control.mode_state or ModeState(id="", state="set")
    running = deps.store.count(where(Run, ("state", "in", sorted(IN_FLIGHT))))
    queued = deps.store.count(where(Run, ("state", "==", RunState.QUEUED)))
    total = max(state.total or 0, running + queued) if control.mode != "normal" else running + queued
    found = Draining(
        mode=control.mode,
        since=state.since or None,
        by=state.by or None,
        reason=state.reason or None,
        total=total,
        running=running,
        queued=queued,
        estimated_seconds=None,
        seconds=None if state.drained_at is None else (state.drained_at - state.since) / 1000,
    )
    return replace(found, estimated_seconds=_estimate(found, deps.store.now()))


def _estimate(found: Draining, now: int) -> float | None:
    left = found.running + found.queued
    if found.mode != DRAINING or found.since is None or (left and not found.finished):
        return None
    return round(left * max(0, now - found.since) / 1000 / found.finished, 1) if left else 0.0


def note_drained(deps: Deps) -> bool:
    """If a drain has come to its end, record how long it took, once: in the mode, in the audit log, and as a fact.

    Nothing is accepted while it drains, so the last run that ended ended it, whoever finds that out and when.
    """
    state = _control(deps).mode_state
    if not _under_way(state) or deps.store.count(where(Run, ("state", "in", sorted(LIVE)))):
        return False
    assert state is not None
    last = deps.store.query(Run, where(Run, ("finished_at", ">=", state.since), order=("-finished_at",), limit=1))
    ended = (last[0].finished_at if last else None) or state.since
    done = deps.store.transact(_Noting(state.id, ended, deps.ids.new("aud")).body, CONTROL_KEY)
    if done:
        deps.telemetry.info("drain.completed", seconds=(ended - state.since) / 1000, runs=state.total)
    return done


@dataclass(frozen=True, slots=True)
class _Noting:
    """The commit that records it, unless another has, or the drain was called off."""

    mode_id: str
    ended: int
    record_id: str

    def body(self, tx: Tx) -> bool:
        """Whether this commit is the one."""
        control = tx.get(Control, SYSTEM)
        state = control.mode_state if control is not None else None
        if control is None or state is None or state.id != self.mode_id or not _under_way(state):
            return False
        tx.put(replace(control, mode_state=replace(state, drained_at=self.ended)))
        why = audit.Reason(id=self.record_id, actor="system:sweep", reason=state.reason)
        took = {"seconds": (self.ended - state.since) / 1000}
        audit.record(tx, why, "drain.completed", SYSTEM, {"runs": state.total}, took)
        return True


def _under_way(state: ModeState | None) -> bool:
    return state is not None and state.mode == DRAINING and state.state == "paused" and state.drained_at is None


def _control(deps: Deps) -> Control:
    control = deps.store.get(Control, SYSTEM)
    if control is None:
        raise NotFound(f"There is no wide scope {SYSTEM!r}.")
    return control
