"""The simulator: histories hold, repeat, reach what matters, and notice what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from headgate.verify.faults import Faults
from headgate.verify.goals import missed
from headgate.verify.mixes import MIXES, ORDER
from headgate.verify.scenarios import SCENARIOS
from headgate.verify.search import follow, search
from headgate.verify.simulation import IN_MEMORY, simulate
from tests.verify.sim_mutants import MODEL, OWN

SEEDS = range(1, 151)
SCHEDULES = 15


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


def test_a_history_is_its_seed_its_mix_and_its_faults() -> None:
    drawn = simulate(7)
    assert simulate(7, faults=drawn.faults, mix=drawn.mix).digest == drawn.digest
    assert simulate(7, mix="pauses").digest != drawn.digest != simulate(7, faults=Faults(crash=0.02)).digest


def test_seeds_have_all_mixes_in_turn() -> None:
    assert set(ORDER) == set(MIXES)
    assert {simulate(seed).mix for seed in range(len(ORDER))} == set(MIXES)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_holds_in_many_orders(scenario: str) -> None:
    found = search(scenario, SCHEDULES)
    assert found.broken is None, f"{found.broken}, by {found.choices}"
    assert found.complete or found.schedules == SCHEDULES


def test_the_search_of_a_scenario_ends() -> None:
    """Every order with one preemption at most was tried."""
    found = search("park-release", 500)
    assert found.complete
    assert 20 < found.schedules < 500


BY_SCENARIO = {
    "no dispatch after a revoke": "pause-frees-other",
    "a settle that waits for a release": "settle-idle",
    "nobody is woken": "park-release",
    "a newcomer that parks a lane wakes nobody": "newcomer-parks",
    "what is masked is put back in the same commit": "fold-caps",
}
"""Mutants, and the scenarios that were made for them."""
RARE = {
    "no dispatch after a revoke", "a newcomer that parks a lane wakes nobody",
    "what is masked is put back in the same commit",
}  # fmt: skip
"""Those that show in one of some hundred histories only."""


@pytest.mark.parametrize("mutant", [name for name in (*MODEL, *OWN) if name not in RARE])
def test_a_mutant_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By some history; printed is by how many. A mutant may also make the flows themselves complain."""
    (MODEL | OWN)[mutant](monkeypatch)
    for number, seed in enumerate(SEEDS, start=1):
        if _noticed(partial(_broken, seed)):
            print(f"\n{mutant}: caught after {number} histories")
            return
    pytest.fail(f"{mutant}: not caught in {len(SEEDS)} histories")


@pytest.mark.parametrize("mutant", BY_SCENARIO)
def test_a_scenario_catches_what_it_was_made_for(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the schedule that was found breaks the promise again."""
    (MODEL | OWN)[mutant](monkeypatch)
    found = search(BY_SCENARIO[mutant], 400)
    assert found.broken is not None
    assert follow(found.scenario, found.choices, IN_MEMORY)[0] == found.broken
    print(f"\n{mutant}: caught after {found.schedules} schedules of {found.scenario}")


def _broken(seed: int) -> str | None:
    return simulate(seed).broken


def _noticed(history: Callable[[], str | None]) -> bool:
    try:
        return history() is not None
    except Exception:  # whatever the flows complain of
        return True
