"""The simulator: histories hold, repeat, reach what matters, and notice what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headgate.core import wide
from headgate.flow import ledger, sweep, work
from headgate.verify.goals import missed
from headgate.verify.simulation import simulate

SEEDS = range(1, 61)


def test_no_history_breaks_a_promise_and_every_goal_is_reached() -> None:
    reached: Counter[str] = Counter()
    for seed in SEEDS:
        history = simulate(seed)
        assert history.broken is None, f"seed {seed}: {history.broken}"
        assert history.steps >= 200
        reached.update(history.reached)
    assert missed(reached) == ()


def test_the_same_seed_is_the_same_history() -> None:
    assert [simulate(seed).digest for seed in (7, 8)] == [simulate(seed).digest for seed in (7, 8)]
    assert simulate(7).digest != simulate(8).digest


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _fenceless(tx: Any, run: Any) -> Any:
    return tx.get(type(run), run.id)


def _half_given(self: ledger.Ledger, run: Any) -> None:
    kind = run.shards.kind
    give(self, type(run)(**{**{f: getattr(run, f) for f in run.__slots__}, "shards": type(run.shards)(kind=kind)}))


give = ledger.Ledger.give

MUTANTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "nobody is woken": (ledger.Ledger, "_wake", lambda self: None),
    "a late result counts": (work, "_current", _fenceless),
    "the system's slot is forgotten": (ledger.Ledger, "give", _half_given),
    "shards are never dealt again": (wide, "deal", lambda control, shards: None),
    "a shard takes more than its credit": (wide, "full", lambda shard: False),
    "lost leases are left alone": (sweep, "_lose", lambda deps, dispatcher, run: None),
    "nothing is published again": (sweep, "_republish", lambda deps, dispatcher, run: None),
    "a delayed run never joins its lane": (sweep, "_due", lambda deps, run: None),
    "the tenant is not the lock": (ledger.Ledger, "close", lambda self: None),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant: str) -> None:
    owner, name, value = MUTANTS[mutant]
    with patched(owner, name, value):
        for seed in SEEDS:
            try:
                if simulate(seed).broken is not None:
                    return
            except Exception:  # a mutant may also make the flows themselves complain
                return
    pytest.fail(f"{mutant}: not caught in {len(SEEDS)} histories")
