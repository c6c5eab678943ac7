"""H13: the same Idempotency-Key many times, at once and across a crash. The key's record is written in the commit that
makes its run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headgate.core.errors import IdempotencyMismatch
from headgate.core.policy import OnLimit
from headgate.core.run import Run
from headgate.flow import submit as submitting
from headgate.flow.submit import Accepted
from headgate.store.documents import where
from headgate.store.sqlite import SqliteBackend
from tests.support.live import Live
from tests.support.places import store_over
from tests.support.scenes import Killed, execute_all, mortal_world, to_the_end, violations
from tests.support.threads import all_well, together
from tests.support.world import World

CALLERS = 50
DAY = 24 * 3600


def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The practice taken out: the key is not written with the run."""
    monkeypatch.setattr(submitting._Attempt, "_keep_key", lambda self, tx, run, receipt: None)


def fifty_at_once() -> tuple[Live, list[Any]]:
    backend = SqliteBackend(":memory:", "off", None)
    lives = [Live(store_over(backend)) for _ in range(2)]
    lives[0].prepare(acme="enterprise")
    calls: list[Callable[[], Any]] = [
        partial(lives[n % 2].submit, "acme", key="k", on_limit=OnLimit.QUEUE) for n in range(CALLERS)
    ]
    return lives[0], all_well(together(calls))


def test_fifty_callers_with_one_key_make_one_run():
    live, answers = fifty_at_once()
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert len({(answer.run.id, answer.receipt_id, answer.status) for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(live.deps.store.query(Run, where(Run))) == 1
    live.execute_all()
    live.assert_books_balance()


def test_control_without_the_record_fifty_callers_make_fifty_runs(monkeypatch: pytest.MonkeyPatch):
    without_keys(monkeypatch)
    live, _ = fifty_at_once()
    assert len(live.deps.store.query(Run, where(Run))) == CALLERS


def killed_and_repeated(tmp_path: Path, moment: str) -> tuple[World, Run]:
    """A process that dies at the commit of a submission, before its caller has an answer; the caller asks again."""
    world, store = mortal_world(tmp_path)
    setattr(store, moment, store.commits)
    with pytest.raises(Killed):
        world.accepted(key="k")
    store.immortal()
    return world, world.accepted(key="k")


@pytest.mark.parametrize("moment", ["dies_before", "dies_after"])
def test_a_crash_between_commit_and_answer_makes_no_second_run(tmp_path: Path, moment: str):
    world, run = killed_and_repeated(tmp_path, moment)
    assert [one.id for one in world.deps.store.query(Run, where(Run))] == [run.id]
    to_the_end(world, [run])
    assert violations(world) == []


def test_control_without_the_record_the_crash_makes_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without_keys(monkeypatch)
    world, _ = killed_and_repeated(tmp_path, "dies_after")
    assert len(world.deps.store.query(Run, where(Run))) == 2


def test_a_key_is_its_tenants_own(tmp_path: Path):
    world = World(tmp_path, tenants={"acme": "pro", "globex": "pro"})
    mine, theirs = world.accepted("acme", key="k"), world.accepted("globex", key="k")
    assert mine.id != theirs.id
    assert world.accepted("acme", key="k").id == mine.id
    assert violations(world) == []


def test_control_a_key_that_all_tenants_share_answers_with_anothers_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    idem = submitting._idem_id
    monkeypatch.setattr(submitting, "_idem_id", lambda tenant, key: idem("everybody", key))
    world = World(tmp_path, tenants={"acme": "pro", "globex": "pro"})
    assert world.accepted("globex", key="k").id == world.accepted("acme", key="k").id


def test_a_key_counts_for_a_day_and_for_one_body(world: World):
    first = world.accepted(key="k")
    world.clock.forward(DAY - 1)
    assert world.accepted(key="k").id == first.id
    with pytest.raises(IdempotencyMismatch):
        world.submit(key="k", kind="git")
    world.clock.forward(2)
    second = world.accepted(key="k")
    assert second.id != first.id
    execute_all(world)
    to_the_end(world, [first, second])


def test_a_refusal_does_not_use_the_key_up(world: World):
    for _ in range(5):
        world.accepted()
    assert world.refused(key="k") == "PLAN_LIMIT_CONCURRENCY"
    execute_all(world)
    assert world.accepted(key="k").state == "pending"
