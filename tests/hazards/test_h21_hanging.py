"""H21: the store hangs. Every call has a deadline, every request a patience, and a store that was just found silent is
not waited for by everybody. Virtual time here; a real server behind a black hole: tests/verify/test_outage.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headgate.core.errors import Code, Unavailable
from headgate.core.run import Run
from headgate.flow import sweep, work
from headgate.store import committer
from headgate.store.committer import Budget
from headgate.store.port import Ambiguous, Backend, Key, Outage, Query, Read, Write
from headgate.store.sqlite import SqliteBackend
from tests.support.scenes import violations
from tests.support.world import Clock, World
from tests.support.wrapped import Wrapped

WITHIN = 3.0
DAY = 86_400.0


@dataclass
class BlackHole(Wrapped):
    """Hangs for as long as its caller would wait."""

    inner: Backend
    clock: Clock
    hangs: bool = False

    def _hang(self, timeout: float, problem: Exception) -> None:
        if self.hangs:
            self.clock.forward(timeout)
            raise problem

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        self._hang(timeout, Outage("no answer"))
        return super().get(keys, timeout)

    def query(self, query: Query, timeout: float) -> Read:
        self._hang(timeout, Outage("no answer"))
        return super().query(query, timeout)

    def count(self, query: Query, timeout: float) -> int:
        self._hang(timeout, Outage("no answer"))
        return super().count(query, timeout)

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self._hang(timeout, Ambiguous("no answer"))
        super().commit(writes, timeout)


def hanging_world(tmp_path: Path) -> tuple[World, BlackHole]:
    made: list[BlackHole] = []

    def open_it(clock: Clock) -> Backend:
        made.append(BlackHole(SqliteBackend(":memory:", "off", clock), clock))
        return made[0]

    return World(tmp_path, backend=open_it), made[0]


VERBS: dict[str, Callable[[World, Run], object]] = {
    "submit": lambda world, run: world.submit(),
    "claim": lambda world, run: work.claim(world.deps, run.id, run.fence, "w"),
    "read": lambda world, run: world.deps.store.get(Run, run.id),
    "sweep": lambda world, run: sweep.sweep(world.deps, world.dispatcher),
}


def seconds_of(world: World, verb: str, run: Run) -> float:
    began = world.clock.ms
    with pytest.raises(Unavailable) as said:
        VERBS[verb](world, run)
    assert said.value.code == Code.STORE_UNAVAILABLE
    return (world.clock.ms - began) / 1000


@pytest.mark.parametrize("verb", VERBS)
def test_a_caller_is_told_in_time_that_the_store_hangs(tmp_path: Path, verb: str):
    world, store = hanging_world(tmp_path)
    run = world.accepted()
    store.hangs = True
    assert seconds_of(world, verb, run) <= WITHIN
    assert seconds_of(world, verb, run) == 0, "the next one at once"
    store.hangs = False
    world.clock.forward(1)
    assert world.finish(run) is not None
    assert violations(world) == []


@pytest.mark.parametrize("verb", VERBS)
def test_control_without_a_patience_a_caller_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str):
    careless = Budget(contention=2 * DAY, outage=DAY, call=DAY)
    monkeypatch.setattr("tests.support.world.Budget", lambda: careless)
    world, store = hanging_world(tmp_path)
    run = world.accepted()
    store.hangs = True
    assert seconds_of(world, verb, run) >= 0.9 * DAY


def test_control_without_the_breaker_every_caller_waits_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("headgate.store.breaker.Breaker.failed", lambda self: None)
    world, store = hanging_world(tmp_path)
    run = world.accepted()
    store.hangs = True
    assert [seconds_of(world, "submit", run) > 2 for _ in range(3)] == [True] * 3


def test_a_result_outlives_a_store_that_hangs_for_a_moment(tmp_path: Path):
    """What was accepted and claimed before the hang ends after it; nothing is lost or doubled by the doubt."""
    world, store = hanging_world(tmp_path)
    run = world.claim(world.accepted())
    store.hangs = True
    with pytest.raises(Unavailable):
        world.finish(run)
    store.hangs = False
    world.clock.forward(1)
    assert world.finish(run) is not None
    assert world.state(run) == "completed"
    assert violations(world) == []


def test_the_usual_patience_is_what_the_promise_says():
    usual: Any = committer.Budget()
    assert usual.outage <= WITHIN
    assert usual.call <= usual.outage
