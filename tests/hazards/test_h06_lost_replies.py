"""H6: the reply to a commit is lost. Every document remembers the last commits that wrote it: whoever asked looks there
before trying again, and what it wrote is never counted twice.

At length, with many callers and every flow: tests/contract/ambiguity_contract.py, on both stores.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.core.errors import Unavailable
from headgate.core.policy import OnLimit
from headgate.core.run import Run
from headgate.store.documents import UserLine, where
from headgate.store.port import Backend
from headgate.store.sqlite import SqliteBackend
from headgate.store.transaction import Tx
from tests.contract.ambiguity_contract import one_more
from tests.support.faulty import FATES, Faulty
from tests.support.scenes import execute_all, to_the_end, violations
from tests.support.world import Clock, World

RUNS = 8


def lossy_world(tmp_path: Path, fates: tuple[str, ...], rate: float) -> tuple[World, Faulty]:
    made: list[Faulty] = []

    def open_it(clock: Clock) -> Backend:
        made.append(Faulty(SqliteBackend(":memory:", "off", clock), seed=7, rate=0.0, fates=fates))
        return made[0]

    world = World(tmp_path, backend=open_it)
    made[0]._rate = rate
    return world, made[0]


def submitted(world: World, store: Faulty) -> list[Run]:
    """Runs of a repository that takes two at once, then replies come again."""
    runs = [world.accepted(repo="o/r", on_limit=OnLimit.QUEUE) for _ in range(RUNS)]
    for _ in range(RUNS):
        execute_all(world)
    store.heal()
    return runs


@pytest.mark.parametrize("fate", [(fate,) for fate in FATES] + [FATES], ids="+".join)
def test_lost_replies_count_nothing_twice_and_forget_nothing(tmp_path: Path, fate: tuple[str, ...]):
    world, store = lossy_world(tmp_path, fate, 0.5)
    runs = submitted(world, store)
    to_the_end(world, runs)
    assert sum(store.met.values()) >= 10, "replies were lost indeed"
    assert len({run.id for run in runs}) == RUNS == len(world.deps.store.query(Run, where(Run)))
    assert world.tenant().month_runs == RUNS
    assert {world.run(run).attempt for run in runs} == {1}
    assert violations(world) == []


def counted(world: World, times: int) -> int:
    """A change that is not protected by a new document's id: how often it shows when it was made so often."""
    for _ in range(times):
        world.deps.store.transact(one_more, "acme")
    found = world.deps.store.get(UserLine, "user_a")
    assert found is not None
    return found.waiting


def test_a_plain_count_is_exact(tmp_path: Path):
    world, store = lossy_world(tmp_path, FATES, 0.5)
    assert counted(world, 20) == 20, store.met


def test_control_who_does_not_look_counts_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Tx, "settles", lambda self, commit_id, keys: False)
    world, _ = lossy_world(tmp_path, ("applied",), 0.5)
    assert counted(world, 20) > 20


def test_control_who_does_not_look_refuses_what_it_has_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Tx, "settles", lambda self, commit_id, keys: False)
    world, _ = lossy_world(tmp_path, ("applied",), 1.0)
    with pytest.raises(Unavailable):
        world.accepted()
    assert len(world.deps.store.query(Run, where(Run))) == 1
