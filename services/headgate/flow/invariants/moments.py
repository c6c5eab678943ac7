"""I8, I10 and I11: nothing lies past its time, and nobody is overtaken for ever."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

from headgate.core.line import LATEST, stands_in_line
from headgate.core.policy import Policy
from headgate.core.run import Event, Run, RunState
from headgate.core.scopes import SYSTEM, TENANT, full_name
from headgate.flow.invariants.books import Books, Violation

LEVELS = 9
"""Priorities reach from 0 to 9, so ageing makes up for at most nine levels."""


def overdue(books: Books, policy: Policy, patience: int) -> Iterator[Violation]:
    """I8 and I10: what the sweep should have dealt with `patience` ms ago."""
    for run in books.live:
        if run.state is RunState.PENDING and run.publish_due is None:
            yield Violation(invariant="I8", subject=run.id, detail="pending, and nobody will publish its message")
        if run.state is not RunState.PENDING and run.publish_due is not None:
            yield Violation(invariant="I8", subject=run.id, detail=f"{run.state} with a message to publish")
        if run.attempt > run.max_attempts:
            detail = f"attempt {run.attempt} of {run.max_attempts}"
            yield Violation(invariant="I10", subject=run.id, detail=detail)
        for what, moment in _moments(run, policy):
            if moment + patience < books.now:
                invariant = "I8" if what == "message" else "I10"
                detail = f"{run.state}, its {what} was due at {_told(moment)}"
                yield Violation(invariant=invariant, subject=run.id, detail=detail)
        for what, set_to, latest in _farthest(run, policy, books.now + patience):
            if set_to is not None and set_to > latest:
                detail = f"{run.state}, its {what} lies at {_told(set_to)}: nobody can have set it"
                yield Violation(invariant="I10", subject=run.id, detail=detail)
    yield from _half_way(books, patience)


def _told(ms: int) -> str:
    """The moment itself, not how long ago: what is found must be told alike at every look."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds") if 0 <= ms <= LATEST else f"{ms} ms"


def _farthest(run: Run, policy: Policy, now: int) -> Iterator[tuple[str, int | None, int]]:
    """Moments of a run, and what none of them can lie after: a lease reaches `lease_seconds` from now at most, callers
    name no time after LATEST."""
    if run.state is RunState.RUNNING:
        yield "lease", run.lease_until, now + round(run.lease_seconds * 1000)
    yield "moment", run.not_before, LATEST
    yield "start deadline", run.start_by, LATEST + round(policy.execution.start_deadline_seconds * 1000)
    yield "message", run.publish_due, LATEST


def _moments(run: Run, policy: Policy) -> Iterator[tuple[str, int]]:
    """Until when each thing that a run waits for must have happened."""
    if run.state is RunState.PENDING and run.publish_due is not None:
        yield "message", run.publish_due
    if run.state is RunState.RUNNING and run.lease_until is not None:
        yield "lease", run.lease_until
        claimed = _last(run, "run.running")
        if claimed is not None and run.waiting is None:
            # The worker ends it at its limit; when it does not, its lease runs out.
            yield "end", claimed.at + round((run.limits.duration_seconds + 2 * run.lease_seconds) * 1000)
    if run.state is RunState.QUEUED and run.waiting is None:
        if run.delayed and run.not_before is not None:
            yield "moment", run.not_before
        if run.start_by is not None:
            yield "start deadline", run.start_by


def _half_way(books: Books, patience: int) -> Iterator[Violation]:
    """Pauses and modes that were begun and never came to their end; pauses whose time is over."""
    for tenant in books.tenants.values():
        for scope, gate in tenant.gates.items():
            subject = full_name(tenant.id, scope)
            if gate.state == "pausing" and gate.since + patience < books.now:
                yield Violation(invariant="I10", subject=subject, detail="its pause was never finished")
            if gate.until is not None and gate.until + patience < books.now:
                yield Violation(invariant="I10", subject=subject, detail="its pause is over and still stands")
        status = tenant.status_gate
        if status is not None and status.state == "pausing" and status.since + patience < books.now:
            subject = full_name(tenant.id, TENANT)
            yield Violation(invariant="I10", subject=subject, detail="its status was never dealt with")
    system = books.controls.get(SYSTEM)
    if system is not None:
        states = [("mode", system.mode_state), *((f"kind:{kind}", state) for kind, state in system.closed.items())]
        for subject, state in states:
            if state is not None and state.state == "pausing" and state.since + patience < books.now:
                yield Violation(invariant="I10", subject=subject, detail="its pause was never finished")
            if state is not None and state.until is not None and state.until + patience < books.now:
                yield Violation(invariant="I10", subject=subject, detail="its pause is over and still stands")


def overtaken(books: Books, policy: Policy) -> Iterator[Violation]:
    """I11: a run that needs no scope which a lower one did not need, and the lower one started first, long after."""
    bound = round(LEVELS * policy.ageing_seconds * 1000)
    started: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in books.live:
        if run.in_flight and run.holding_since is not None:
            started[run.tenant, run.kind].append(run)
    for run in books.live:
        since = _since(run) if stands_in_line(run) else None
        if since is None:
            continue
        for other in started[run.tenant, run.kind]:
            late = (other.holding_since or 0) > since + bound
            if late and other.key > run.key and set(run.scopes) <= set(other.scopes):
                detail = (
                    f"{other.id} stands behind it and started {((other.holding_since or 0) - since) // 1000} s later"
                )
                yield Violation(invariant="I11", subject=run.id, detail=detail)


def _since(run: Run) -> int | None:
    """Since when it has stood in line this time (ms)."""
    joined = [event for event in (_last(run, "run.queued"), _last(run, "run.due")) if event is not None]
    return max((event.at for event in joined), default=None)


def _last(run: Run, kind: str) -> Event | None:
    return next((event for event in reversed(run.events) if event.type == kind), None)
