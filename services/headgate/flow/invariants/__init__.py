"""The invariant checker: recount what the documents say against what the runs are, and list every difference.

I1   slots held per scope ≤ cap, unless the cap was lowered below use (then nothing new starts); the
     credits of a wide scope's shards add up to its cap                                              slots
I2   slots held = pending and running runs, per scope and per run                                    slots
I3   every acknowledged run exists: of every idempotency key still remembered. (A run that had none
     is missed only where it is counted: I2 and I7 tell of one that waited or held a slot)           trail
I4   one terminal event per run, its last                                                            lives
I5   only the newest fence writes: outcomes carry the fence of the last claim, leases have a worker  lives
I6   states only move along the diagram                                                              lives
I7   a queued run holds no slot; its place in line and its lane are counted exactly; what its tenant
     offers and whose turn it is follow from that                                                    slots, line
I8   every pending run is its own outbox mark: its message is delivered, or published when due       moments
I9   audit records = changes: whatever a switch or an override says, its record is there; no limit is
     in force that is neither the policy's nor signed                                                trail
I10  nothing stays past its time or reaches beyond it: leases, messages, moments, deadlines, pauses,
     attempts                                                                                        moments
I11  no run that could start waits behind a lower one for longer than ageing allows                  moments

`check` takes any store, `check_log` a recorded log of events. A live system moves while it is read, so a difference is
looked at again before it is reported: what commits in between disappears, what is really wrong stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headgate.flow.deps import Deps
from headgate.flow.invariants import line, lives, moments, slots, trail
from headgate.flow.invariants.books import Books, Violation, read
from headgate.flow.invariants.lives import Entry, check_log
from headgate.flow.invariants.slots import places

__all__ = ["Books", "Entry", "Report", "Violation", "check", "check_log", "places", "tenant_violations"]

LOOKS = 3
PATIENCE_SECONDS = 150.0
"""How long something may lie past its time: two sweeps of 60 s, and a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, and how much was looked at."""

    violations: tuple[Violation, ...]
    checked: Mapping[str, int] = field(default_factory=dict)


def check(deps: Deps, patience_seconds: float = PATIENCE_SECONDS) -> Report:
    """Look until nothing is found or three times; report what every look has found."""
    books = read(deps)
    standing = set(_violations(deps, books, patience_seconds))
    for _ in range(LOOKS - 1):
        if not standing:
            break
        deps.timing.sleep(0.2)
        books = read(deps)
        standing &= set(_violations(deps, books, patience_seconds))
    ordered = sorted(standing, key=lambda v: (v.invariant, v.subject, v.detail))
    return Report(violations=tuple(ordered), checked=books.counted())


def tenant_violations(books: Books) -> Iterator[Violation]:
    """What is wrong inside the tenants of these books, wide scopes apart: what a repair of a tenant can mend."""
    for rule in (slots.inside, line.counts, line.lanes, line.fairness):
        yield from rule(books)


def _violations(deps: Deps, books: Books, patience_seconds: float) -> Iterator[Violation]:
    for rule in (slots.caps, slots.inside, slots.wide, line.counts, line.lanes, line.fairness, lives.leases):
        yield from rule(books)
    yield from lives.histories(deps, books)
    yield from moments.overdue(books, deps.policy, round(patience_seconds * 1000))
    yield from moments.overtaken(books, deps.policy)
    yield from trail.acknowledged(deps)
    yield from trail.changes(deps, books)
