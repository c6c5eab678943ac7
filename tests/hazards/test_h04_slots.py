"""H4: a slot that leaks, or is given back twice. A slot is the name of its holder; it is taken and given in the commit
that changes the run, and giving back what one does not hold changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core import tenant as tenants
from headgate.core.run import Run
from headgate.core.tenant import Tenant
from headgate.flow import cancel, sweep, work
from headgate.handlers.interface import Done
from headgate.store.transaction import Tx
from tests.support.scenes import Killed, mortal_world, to_the_end, violations
from tests.support.world import World

DONE = work.Ending(outcome=Done({}))


def a_life(world: World) -> list[Run]:
    """Three runs of a repository that takes two: the third waits, starts when the first ends, is cancelled."""
    runs = [world.accepted(repo="o/r", key=f"k{n}") for n in range(3)]
    world.finish(runs[0])
    cancel.cancel(world.deps, world.dispatcher, world.caller(), "acme", runs[2].id)
    world.finish(runs[1])
    return runs


def commits_of_a_life(tmp_path: Path) -> range:
    world, store = mortal_world(tmp_path / "whole")
    began = store.commits
    a_life(world)
    return range(began, store.commits)


@pytest.mark.parametrize("moment", ["dies_before", "dies_after"])
def test_a_process_killed_at_any_commit_leaks_nothing(tmp_path: Path, moment: str):
    commits = commits_of_a_life(tmp_path)
    assert len(commits) >= 8
    for number in commits:
        world, store = mortal_world(tmp_path / str(number))
        setattr(store, moment, number)
        with pytest.raises(Killed):
            a_life(world)
        store.immortal()
        assert violations(world) == [], f"killed {moment} {number}"
        runs = [world.accepted(repo="o/r", key=f"k{n}") for n in range(3)]  # the callers ask again
        to_the_end(world, runs)
        assert world.tenant().holders == {}
        assert violations(world) == []


@pytest.mark.parametrize("how", ["finished", "cancelled", "handed back"])
def test_a_slot_given_back_twice_is_given_back_once(world: World, how: str):
    """After the first time the slot is somebody else's."""
    world.set_limit("repo:acme/o/r", 1)
    first = world.claim(world.accepted(repo="o/r"))
    others = [world.accepted(repo="o/r") for _ in range(2)]
    for _ in range(3):
        if how == "cancelled":
            cancel.cancel(world.deps, world.dispatcher, world.caller(), "acme", first.id)
        elif how == "handed back":
            work.hand_back(world.deps, world.dispatcher, first)
        else:
            work.finish(world.deps, world.dispatcher, first, DONE)
    assert tenants.use(world.tenant(), "repo:o/r") == 1
    to_the_end(world, [first, *others])


def test_control_with_a_counter_in_place_of_names_the_next_holder_loses_its_slot(
    broken: World, monkeypatch: pytest.MonkeyPatch
):
    """The wrong variant: no fence at the release, and "one less" in place of "not me"."""

    def one_less(tenant: Tenant, run_id: str, now: int) -> Tenant:
        some = run_id if run_id in tenant.holders else next(iter(tenant.holders), None)
        return replace(tenant, holders={k: v for k, v in tenant.holders.items() if k != some})

    def unfenced(tx: Tx, run: Run) -> Run:
        assert tx.get(Run, run.id) is not None
        return run

    monkeypatch.setattr(tenants, "give", one_less)
    monkeypatch.setattr(work, "_current", unfenced)
    broken.set_limit("repo:acme/o/r", 1)
    first = broken.claim(broken.accepted(repo="o/r"))
    for _ in range(2):
        broken.accepted(repo="o/r")
    for _ in range(2):
        work.finish(broken.deps, broken.dispatcher, first, DONE)
    assert any(found.startswith("I2") for found in violations(broken))


def test_a_release_with_a_stale_fence_frees_nothing(world: World):
    first = world.claim(world.accepted())
    world.clock.forward(31)
    to_retry = work.lose(world.deps, world.dispatcher, first)
    assert to_retry is not None
    world.clock.forward(61)

    sweep.sweep(world.deps, world.dispatcher)
    world.claim(first)
    work.finish(world.deps, world.dispatcher, first, DONE)
    work.hand_back(world.deps, world.dispatcher, first)
    assert set(world.tenant().holders) == {first.id}
    world.finish(first)
