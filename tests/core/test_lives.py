"""Whole lives of runs: what holds along any sequence of legal changes, and proof that each law bites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.lifecycle import Change, advance, created, slot_change
from headgate.core.run import IN_FLIGHT, TERMINAL, Run, RunState
from tests.support.laws import counterexample, quick
from tests.support.lives import Moment, live
from tests.support.values import NOW

STEPS = st.lists(st.integers(0, 11), max_size=40)
STARTS = st.sampled_from([RunState.QUEUED, RunState.PENDING])


def real(run: Run, change: Change, now: int, to: RunState | None) -> Run:
    return advance(run if run.events else created(run, NOW), change, now, to)


# --- the laws


def slots_are_held_exactly_in_flight(life: Sequence[Moment]) -> bool:
    return all(m.slots == int(m.run.state in IN_FLIGHT) for m in life)


def fences_part_the_attempts(life: Sequence[Moment]) -> bool:
    """The fence never falls, and whoever claimed or was sent a run before it left that state has an old one."""
    rising = all(b.run.fence - a.run.fence in (0, 1) for a, b in pairwise(life))
    claims = [m.run.fence for m in life if m.change is Change.CLAIM]
    sent = [m.run.fence for m in life if m.change is Change.PROMOTE]
    return rising and len(set(claims)) == len(claims) and len(set(sent)) == len(sent)


def events_are_numbered_without_gaps(life: Sequence[Moment]) -> bool:
    events = life[-1].run.events
    return [e.seq for e in events] == list(range(1, len(events) + 1)) and all(a.at <= b.at for a, b in pairwise(events))


def the_outcome_is_told_once_and_last(life: Sequence[Moment]) -> bool:
    last = life[-1].run
    told = [i for i, event in enumerate(last.events) if event.type == "run.finished"]
    return told == ([len(last.events) - 1] if last.state in TERMINAL and last.events else [])


def attempts_count_retries_alone(life: Sequence[Moment]) -> bool:
    return life[-1].run.attempt == 1 + sum(m.change is Change.RETRY for m in life)


LAWS = (
    slots_are_held_exactly_in_flight,
    fences_part_the_attempts,
    events_are_numbered_without_gaps,
    the_outcome_is_told_once_and_last,
    attempts_count_retries_alone,
)


@quick
@given(STEPS, STARTS)
def test_every_life_keeps_every_law(steps: list[int], start: RunState) -> None:
    life = live(steps, start, real, slot_change)
    for law in LAWS:
        assert law(life), law.__name__


# --- the laws bite


def test_counting_running_runs_alone_is_noticed() -> None:
    """The mistake of the seeds' first version: what is pending was free."""

    def without_pending(before: RunState | None, after: RunState) -> int:
        return int(after is RunState.RUNNING) - int(before is RunState.RUNNING)

    def law(sample: tuple[list[int], RunState]) -> bool:
        return slots_are_held_exactly_in_flight(live(*sample, real, without_pending))

    counterexample(st.tuples(STEPS, STARTS), law)


def test_a_revoke_that_leaves_the_fence_is_noticed() -> None:
    """Its old message could be claimed after the run was promoted again."""

    def lax(run: Run, change: Change, now: int, to: RunState | None) -> Run:
        after = real(run, change, now, to)
        return replace(after, fence=run.fence) if change is Change.REVOKE else after

    def law(sample: tuple[list[int], RunState]) -> bool:
        return fences_part_the_attempts(live(*sample, lax, slot_change))

    counterexample(st.tuples(STEPS, STARTS), law)


def test_an_outcome_told_without_a_number_is_noticed() -> None:
    def unnumbered(run: Run, change: Change, now: int, to: RunState | None) -> Run:
        after = real(run, change, now, to)
        return replace(after, event_seq=run.event_seq) if change is Change.DUE else after

    def law(sample: tuple[list[int], RunState]) -> bool:
        return events_are_numbered_without_gaps(live(*sample, unnumbered, slot_change))

    counterexample(st.tuples(STEPS, STARTS), law)
