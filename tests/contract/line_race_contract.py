"""Dispatchers, workers and operators of several processes against each other; a part of StoreContract."""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from headgate.core.policy import OnLimit, Policy
from headgate.core.run import LIVE, Run
from headgate.core.scopes import TENANT
from headgate.delivery.port import Message
from headgate.flow import pause, work
from headgate.handlers.interface import Done
from headgate.store.documents import Marker, where
from tests.contract.races import Crowd
from tests.support.crew import Crew, Meet
from tests.support.figures import spread
from tests.support.live import Live
from tests.support.places import Place, store_over
from tests.support.threads import all_well, together
from tests.support.watched import Watched

TIGHT: dict[str, Any] = {"system": 7, "user": 3, "repo": 2, "org": 4, "kinds": {"git": 3}}
PATIENCE = 20.0
"""Seconds without any progress after which a line has stalled."""


@contextlib.contextmanager
def opened(place: Place, policy: dict[str, Any]) -> Iterator[tuple[Live, Watched]]:
    watched = Watched(place.open())
    live = Live(store_over(watched), Policy(**policy))
    yield live, watched
    live.close()


# --- a line worked off by several processes


def work_off(meet: Meet, place: Place, seed: int, runs: int) -> tuple[list[str], list[float]]:
    """One process: two threads submit, three execute what this process publishes, until nothing is left anywhere.

    What was over its cap at any commit, and how long each submission took. No sweep: whoever is not woken stays.
    """
    with opened(place, TIGHT) as (live, watched):
        meet()
        submitting = [partial(_submit_some, live, seed * 2 + i, runs // 2) for i in range(2)]
        done = threading.Event()
        workers = [threading.Thread(target=_execute, args=(live, done, seed + i), daemon=True) for i in range(3)]
        for worker in workers:
            worker.start()
        seconds = [took for some in all_well(together(submitting)) for took in some]
        meet()
        stalled = not _await_the_end(live)
        done.set()
        for worker in workers:
            worker.join(10)
        errors = [repr(facts["error"]) for _, facts in live.telemetry.said if facts.get("error")]
        return [*watched.over, *errors, *(["the line has stalled"] if stalled else [])], seconds


def _submit_some(live: Live, seed: int, runs: int) -> list[float]:
    chance = random.Random(seed)
    took = []
    for _ in range(runs):
        began = time.monotonic()
        live.submit(
            chance.choice(("acme", "globex", "initech")),
            kind=chance.choice(("git", "command")),
            user=chance.choice((None, "ada", "bob", "cyd", "dan", "eve")),
            repo=chance.choice((None, "o/a", "o/b", "p/c")),
            priority=chance.randint(0, 5),
            on_limit=OnLimit.QUEUE,
        )
        took.append(time.monotonic() - began)
    return took


def _execute(live: Live, done: threading.Event, seed: int) -> None:
    chance = random.Random(seed)
    while not done.is_set():
        with contextlib.suppress(queue.Empty):
            message = live.delivery.messages.get(timeout=0.05)
            claimed = work.claim(live.deps, message.run_id, message.fence, "worker")
            if claimed is not None:
                time.sleep(chance.random() * 0.01)
                work.finish(live.deps, live.dispatcher, claimed, work.Ending(outcome=Done({})))


def _await_the_end(live: Live) -> bool:
    """Whether every run ends before nothing moves any more."""
    left, since = -1, time.monotonic()
    while left:
        now = live.deps.store.count(where(Run, ("state", "in", sorted(LIVE))))
        if now != left:
            left, since = now, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            return False
        time.sleep(0.1)
    return True


# --- workers that claim whatever is pending


def claim_on(meet: Meet, place: Place, threads: int) -> int:
    """One process whose threads claim and finish whatever is pending, until the marker `stop` is there."""
    with opened(place, {}) as (live, _):
        meet()
        return sum(all_well(together([partial(_claim_until_told, live) for _ in range(threads)], timeout=110)))


def _claim_until_told(live: Live) -> int:
    count = 0
    while live.deps.store.get(Marker, "stop") is None:
        for run in live.deps.store.query(Run, where(Run, ("state", "==", "pending"))):
            count += live.execute(Message(run_id=run.id, fence=run.fence)) is not None
        time.sleep(0.002)
    return count


def in_line(live: Live) -> set[str]:
    """Ids of the queued runs of the tenant; nothing of it may be pending."""
    assert live.deps.store.query(Run, where(Run, ("tenant", "==", "acme"), ("state", "==", "pending"))) == []
    return {
        run.id for run in live.deps.store.query(Run, where(Run, ("tenant", "==", "acme"), ("state", "==", "queued")))
    }


class LineRaceContract:
    """Subclass it and define the fixtures `place` and `crowd`."""

    def test_a_line_is_worked_off_by_several_processes(self, place: Place, crew: Crew, crowd: Crowd):
        with opened(place, TIGHT) as (live, _):
            live.prepare(acme="enterprise", globex="pro", initech="free")
            began = time.monotonic()
            parts = crew.run(work_off, [(place, seed, 40) for seed in range(2)])
            took = time.monotonic() - began
            assert [problem for problems, _ in parts for problem in problems] == []
            print(f"\n80 runs in {took:.1f} s; submitting: {spread([one for _, seconds in parts for one in seconds])}")
            picture = live.picture()
            assert picture.eligible() == []
            assert Counter(run.state for run in picture.runs.values()) == {"completed": 80}
            live.assert_books_balance()

    def test_nothing_starts_after_a_pause_was_answered(self, place: Place, crew: Crew, rounds: int):
        with opened(place, {}) as (live, _), self._workers(place, crew, live):
            seconds: list[float] = []
            held = 0
            while len(seconds) < rounds or (not held and len(seconds) < 5 * rounds):
                for _ in range(3):
                    live.submit("acme", on_limit=OnLimit.QUEUE)
                time.sleep(random.Random(len(seconds)).random() * 0.01 * (len(seconds) % 2))
                began = time.monotonic()
                pause.pause(live.deps, live.dispatcher, "acme", pause.Pause(mode="hold"), live.why())
                seconds.append(time.monotonic() - began)
                waiting = in_line(live)
                held += len(waiting)
                time.sleep(0.02)
                assert in_line(live) == waiting
                pause.resume(live.deps, live.dispatcher, "acme", TENANT, live.why())
            assert _await_the_end(live)
            print(f"\n{len(seconds)} pauses under load, {held} runs held back: {spread(seconds)}")
            assert held > 0
            live.assert_books_balance()

    @pytest.fixture
    def rounds(self) -> int:
        raise NotImplementedError

    @contextlib.contextmanager
    def _workers(self, place: Place, crew: Crew, live: Live) -> Iterator[None]:
        """Two processes that claim and finish, as long as the block lasts."""
        live.prepare(acme="pro")
        crowd: Callable[[], list[Any]] = partial(crew.run, claim_on, [(place, 3)] * 2)
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.extend(crowd()), daemon=True)
        thread.start()
        try:
            yield
        finally:
            live.deps.store.transact(lambda tx: tx.create(Marker(id="stop", value="")), "stop")
            thread.join(60)
        assert sum(answers) > 0
