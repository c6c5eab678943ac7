"""Any history of a wide scope (takes, releases, caps up and down) keeps its cap and its books."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.wide import Control, Shard, deal, full, held, new_scope, taken
from headgate.core.wide import given as released
from tests.support.laws import counterexample, quick
from tests.support.values import NOW

Deal = Callable[[Control, Sequence[Shard]], tuple[Control, tuple[Shard, ...]] | None]
Take = Callable[[list[Shard], int], int | None]

Step = tuple[str, int]
caps = st.one_of(st.none(), st.integers(0, 6), st.sampled_from([64, 65, 130]))
histories = st.tuples(
    caps,
    st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(0, 9)),
            st.tuples(st.just("give"), st.integers(0, 30)),
            st.tuples(st.just("cap"), st.sampled_from([-1, 0, 1, 2, 5, 64, 70])),
        ),
        max_size=40,
    ),
)


def takes_a_free_one(shards: list[Shard], start: int) -> int | None:
    """As a dispatch does: the first free shard from a random place on."""
    places = [*range(start % len(shards), len(shards)), *range(start % len(shards))]
    return next((i for i in places if shards[i].free), None)


class History:
    """The scope as the flows drive it: cut (settle every shard), deal at once, deal again after each release."""

    def __init__(self, cap: int | None, dealing: Deal, finding: Take) -> None:
        control, shards = new_scope("system", cap)
        self.control, self.shards = control, list(shards)
        self.dealing, self.finding = dealing, finding
        self.runs = 0

    def take(self, start: int) -> bool:
        """One more run, if there is a shard. False when that broke the cap."""
        i = self.finding(self.shards, start)
        if i is None:
            return True
        self.runs += 1
        self.shards[i] = taken(self.shards[i], f"run_{self.runs}", NOW)
        return self.control.cap is None or held(self.shards) <= self.control.cap

    def give(self, number: int) -> bool:
        holding = [(i, run) for i, shard in enumerate(self.shards) for run in shard.holders]
        if holding:
            i, run = holding[number % len(holding)]
            self.shards[i] = released(self.shards[i], run)
            self._deal()
        return True

    def cap(self, number: int) -> bool:
        cap = None if number < 0 else number
        self.control = replace(self.control, cap=cap, settle=True)
        self.shards = [replace(shard, settle=True, free=False) for shard in self.shards]
        self._deal()
        return True

    def _deal(self) -> None:
        dealt = self.dealing(self.control, self.shards) if self.control.settle else None
        if dealt is not None:
            self.control, self.shards = dealt[0], list(dealt[1])

    def in_order(self) -> bool:
        """The books: what is free is really free, and credits add up to the cap or the scope is still closed."""
        honest = all(shard.free is not full(shard) for shard in self.shards)
        if self.control.settle:
            return honest and held(self.shards) > (self.control.cap or 0) and not any(s.free for s in self.shards)
        credits = [shard.credit for shard in self.shards]
        if self.control.cap is None:
            return honest and set(credits) == {None}
        not_negative = all((s.credit or 0) >= len(s.holders) for s in self.shards)
        return honest and not_negative and sum(credit or 0 for credit in credits) == self.control.cap


def keeps_the_cap(dealing: Deal, finding: Take, sample: tuple[int | None, list[Step]]) -> bool:
    cap, steps = sample
    history = History(cap, dealing, finding)
    return all(getattr(history, verb)(number) and history.in_order() for verb, number in steps)


@quick
@given(histories)
def test_any_history_keeps_the_cap_and_the_books(sample: tuple[int | None, list[Step]]) -> None:
    assert keeps_the_cap(deal, takes_a_free_one, sample)


@quick
@given(st.integers(0, 200))
def test_the_cap_is_reached_and_not_passed(cap: int) -> None:
    history = History(cap, deal, takes_a_free_one)
    assert all(history.take(i) for i in range(cap + 3))
    assert held(history.shards) == cap


def _over_credit(shards: list[Shard], start: int) -> int | None:
    """Takes wherever it looks first, free or not."""
    return start % len(shards)


def _ignores_settling(shards: list[Shard], start: int) -> int | None:
    return next((i for i, s in enumerate(shards) if s.credit is None or len(s.holders) < s.credit), None)


def _equal_parts(control: Control, shards: Sequence[Shard]) -> tuple[Control, tuple[Shard, ...]]:
    """Deals without looking at what is held."""
    part, rest = divmod(control.cap or 0, len(shards))
    credits = [None if control.cap is None else part + (i < rest) for i in range(len(shards))]
    opened = (replace(s, credit=c, settle=False) for s, c in zip(shards, credits, strict=True))
    return replace(control, settle=False), tuple(replace(s, free=not full(s)) for s in opened)


def _drops_the_rest(control: Control, shards: Sequence[Shard]) -> tuple[Control, tuple[Shard, ...]] | None:
    """Deals only whole parts: some slots are never given out again."""
    dealt = deal(control, shards)
    if dealt is None or control.cap is None:
        return dealt
    part = (control.cap - held(shards)) // len(shards)
    few = (replace(s, credit=len(s.holders) + part) for s in dealt[1])
    return dealt[0], tuple(replace(s, free=not full(s)) for s in few)


@pytest.mark.parametrize(
    ("dealing", "finding"),
    [
        (deal, _over_credit),
        (deal, _ignores_settling),
        (_equal_parts, takes_a_free_one),
        (_drops_the_rest, takes_a_free_one),
    ],
)
def test_wrong_ways_are_noticed(dealing: Deal, finding: Take) -> None:
    counterexample(histories, lambda sample: keeps_the_cap(dealing, finding, sample))
