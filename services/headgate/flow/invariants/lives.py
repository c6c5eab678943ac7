"""I4, I5 and I6: the life of each run, as its events tell it, from a store or from a recorded log.

Output is numbered from the same series as events, so numbers may be missing in between; older events may be gone
(retention). What is there must go along the diagram, one attempt after the other, and end once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from headgate.core.lifecycle import TABLE
from headgate.core.run import IN_FLIGHT, TERMINAL, Run, RunState
from headgate.core.scopes import SYSTEM
from headgate.flow.deps import Deps
from headgate.flow.invariants.books import Books, Violation
from headgate.flow.overview import events_of

STEPS = frozenset(
    (a, b) for sources, targets in TABLE.values() for a in sources for b in ({a} if a in targets else targets)
)
"""From which state to which a run may go."""
BY_WORKERS = frozenset({RunState.COMPLETED, RunState.TIMED_OUT})
"""Ends that only an attempt can bring: `failed` may also be a dead letter's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of a recorded log: of which run of which tenant, its number, its time (ms), what it says."""

    run: str
    tenant: str
    seq: int
    at: int
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)


def leases(books: Books) -> Iterator[Violation]:
    """I5 in the records: exactly the running have a worker, a lease and a fence; what has ended holds nothing."""
    for run in books.live:
        claimed = run.state is RunState.RUNNING
        if claimed != (run.worker is not None) or claimed != (run.lease_until is not None):
            yield Violation(invariant="I5", subject=run.id, detail=f"{run.state} with worker {run.worker}")
        if claimed and run.fence < 1:
            yield Violation(invariant="I5", subject=run.id, detail="running without a fence")
    for run in books.ended:
        if run.worker or run.lease_until or run.shards.system or run.shards.kind or run.shards.line:
            yield Violation(invariant="I2", subject=run.id, detail=f"{run.state} and still holds something")


def histories(deps: Deps, books: Books) -> Iterator[Violation]:
    """I4, I5, I6 in the events of every live run and of the latest that ended."""
    for run in (*books.live, *books.ended):
        entries = [
            Entry(
                run=run.id, tenant=run.tenant, seq=_int(e["seq"]), at=_int(e["at"]), type=str(e["type"]), data=_map(e)
            )
            for e in events_of(deps, run, 0)
        ]
        yield from _life(entries)
        yield from _agrees(run, entries)


def check_log(entries: Iterable[Entry], caps: Mapping[str, int] | None = None) -> tuple[Violation, ...]:
    """What is wrong in a recorded log of runs' events, in any order. `caps` of full names (`system`, `tenant:acme`) that
    stood unchanged while it was recorded are checked too (I1)."""
    log = list(entries)
    by_run: dict[str, list[Entry]] = defaultdict(list)
    for entry in log:
        by_run[entry.run].append(entry)
    found = [v for run in sorted(by_run) for v in _life(sorted(by_run[run], key=lambda entry: entry.seq))]
    return (*found, *_held(log, caps or {}))


def _life(entries: Sequence[Entry]) -> Iterator[Violation]:
    """One run's events, by number."""
    states = [entry for entry in entries if "state" in entry.data]
    if not states:
        return
    run = states[0].run
    for before, after in pairwise(entries):
        if after.seq <= before.seq or after.at < before.at:
            told = f"event {after.seq} at {after.at} after {before.seq} at {before.at}"
            yield Violation(invariant="I6", subject=run, detail=told)
    ends = [entry for entry in states if entry.data["state"] in TERMINAL]
    if len(ends) > 1 or (ends and ends[0] is not states[-1]):
        told = ", ".join(str(entry.data["state"]) for entry in states)
        yield Violation(invariant="I4", subject=run, detail=f"does not end once and for all: {told}")
    yield from _steps(run, states)
    yield from _fences(run, states)


def _steps(run: str, states: Sequence[Entry]) -> Iterator[Violation]:
    if states[0].seq == 1 and states[0].data["state"] not in (RunState.QUEUED, RunState.PENDING):
        yield Violation(invariant="I6", subject=run, detail=f"begins as {states[0].data['state']}")
    for before, after in pairwise(states):
        if (before.data["state"], after.data["state"]) not in STEPS and before.data["state"] not in TERMINAL:
            detail = f"went from {before.data['state']} to {after.data['state']}"
            yield Violation(invariant="I6", subject=run, detail=detail)


def _fences(run: str, states: Sequence[Entry]) -> Iterator[Violation]:
    """Fences never go back, a claim raises them, and what an attempt brought about carries the fence of its claim."""
    claimed: int | None = None
    last = -1
    for entry in states:
        fence = int(entry.data.get("fence", last))
        if fence < last or (entry.type == "run.running" and fence <= last):
            yield Violation(invariant="I5", subject=run, detail=f"fence {fence} after {last} in event {entry.seq}")
        if entry.type == "run.running":
            claimed = fence
        elif entry.data["state"] in BY_WORKERS and "fence" in entry.data and claimed not in (None, fence):
            detail = f"ended as {entry.data['state']} by fence {fence}, the last claim was {claimed}"
            yield Violation(invariant="I5", subject=run, detail=detail)
        last = fence


def _agrees(run: Run, entries: Sequence[Entry]) -> Iterator[Violation]:
    """The record says what its last event says."""
    states = [entry.data["state"] for entry in entries if "state" in entry.data]
    if states and states[-1] != run.state:
        invariant = "I4" if states[-1] in TERMINAL else "I6"
        yield Violation(invariant=invariant, subject=run.id, detail=f"{run.state}, its last event says {states[-1]}")
    if entries and entries[-1].seq > run.event_seq:
        yield Violation(invariant="I6", subject=run.id, detail=f"event {entries[-1].seq} of {run.event_seq}")


def _held(log: Sequence[Entry], caps: Mapping[str, int]) -> Iterator[Violation]:
    """I1 over time: slots taken and given back as the events say. Of one moment, what was given back comes first."""
    held: Counter[str] = Counter()
    flying: set[str] = set()
    over: set[str] = set()
    states = [entry for entry in log if "state" in entry.data]
    for entry in sorted(states, key=lambda e: (e.at, e.data["state"] in IN_FLIGHT, e.run, e.seq)):
        flies = entry.data["state"] in IN_FLIGHT
        if flies == (entry.run in flying):
            continue
        flying ^= {entry.run}
        for scope in (SYSTEM, f"tenant:{entry.tenant}"):
            held[scope] += 1 if flies else -1
            if held[scope] > caps.get(scope, held[scope]) and scope not in over:
                over.add(scope)
                detail = f"{held[scope]} held at {entry.at}, cap {caps[scope]}"
                yield Violation(invariant="I1", subject=scope, detail=detail)


def _int(value: object) -> int:
    return int(str(value))


def _map(event: Mapping[str, object]) -> Mapping[str, Any]:
    data = event["data"]
    return data if isinstance(data, Mapping) else {}
