"""Lives of runs: the diagram of SPEC 2 written down a second time, and random walks along it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headgate.core.lifecycle import Change
from headgate.core.run import Run, RunState
from tests.support.values import NOW, a_run

DIAGRAM = """
promote            queued                  → pending
claim              pending                 → running
finish             running                 → completed failed timed_out
retry              running                 → queued
revoke             pending                 → queued
hand_back          running                 → queued
await_input        running                 → running
give_up_for_input  running                 → queued
answer             running                 → running
answer             queued                  → queued
due                queued                  → queued
cancel             queued pending running  → cancelled
expire             queued                  → expired
dead_letter        pending                 → failed
"""

Edge = tuple[Change, RunState, RunState]


def _edges() -> frozenset[Edge]:
    found: set[Edge] = set()
    for line in DIAGRAM.strip().splitlines():
        left, _, right = line.partition("→")
        change, *sources = left.split()
        found |= {(Change(change), RunState(a), RunState(b)) for a in sources for b in right.split()}
    return frozenset(found)


EDGES = _edges()

Advance = Callable[[Run, Change, int, RunState | None], Run]
SlotChange = Callable[[RunState | None, RunState], int]


@dataclass(frozen=True)
class Moment:
    """A run, the change that brought it there, and the slots it holds by the book."""

    run: Run
    change: Change | None
    slots: int


def live(steps: Sequence[int], start: RunState, advance: Advance, slot_change: SlotChange) -> list[Moment]:
    """A run from its birth along legal changes; each number of `steps` chooses among those that its state allows."""
    run = a_run(state=start)
    moments = [Moment(run, None, slot_change(None, start))]
    for step in steps:
        choices = sorted(edge for edge in EDGES if edge[1] is run.state)
        if not choices:
            break
        change, before, to = choices[step % len(choices)]
        run = advance(run, change, NOW + len(moments), to)
        moments.append(Moment(run, change, moments[-1].slots + slot_change(before, to)))
    return moments
