"""Cancelling many and retrying one, raced by two processes on both stores: every run ends once, a retry is one run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from headgate.core.access import Caller, Role
from headgate.core.policy import OnLimit
from headgate.core.run import LIVE, Run
from headgate.flow import draining, fleet, sweep
from headgate.flow.cancel_all import Cancelled, Wanted, cancel_all
from headgate.flow.deps import Asking
from headgate.flow.retry import retry
from headgate.flow.submit import Accepted, Answer
from headgate.store.documents import where
from headgate.store.port import Backend
from headgate.store.sqlite import SqliteBackend
from tests.support.live import Live
from tests.support.places import FirestorePlace, store_over
from tests.support.threads import all_well, together

OWNER = Caller(credential="key of acme", role=Role.OWNER, tenant="acme")


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.emulators)])
def lives(request: pytest.FixtureRequest) -> list[Live]:
    """Two processes on one store."""
    backend: Callable[[], Backend]
    if request.param == "sqlite":
        shared = SqliteBackend(":memory:", "off", None)
        backend = lambda: shared  # noqa: E731 - a backend that is there already
    else:
        emulator, project = (request.getfixturevalue(name) for name in ("firestore_emulator", "project_id"))
        backend = FirestorePlace(project, emulator).open
    made = [Live(store_over(backend())) for _ in range(2)]
    made[0].prepare(acme="pro")
    return made


def cancel(live: Live, **equal: Any) -> Cancelled:
    return cancel_all(live.deps, live.dispatcher, OWNER, "acme", Wanted(equal=equal))


def again(live: Live, run_id: str) -> Answer:
    return retry(live.deps, live.submitter, OWNER, "acme", run_id, Asking(request_id="req"), OnLimit.QUEUE)


def test_two_cancel_all_at_once(lives: list[Live]) -> None:
    for number in range(30):
        kind = ("command", "git")[number % 2]
        assert isinstance(lives[0].submit("acme", kind=kind, on_limit=OnLimit.QUEUE), Accepted)
    acts: list[Callable[[], Cancelled]] = [partial(cancel, live, kind="git") for live in lives * 2]
    done = all_well(together(acts))
    assert sum(len(one.runs) for one in done) == 15
    left = lives[0].deps.store.query(Run, where(Run, ("state", "in", sorted(LIVE))))
    assert {run.kind for run in left} == {"command"}
    assert len(lives[0].tenant("acme").holders) == 5
    lives[0].assert_books_balance()


def test_many_retries_at_once_and_a_drain_to_its_end(lives: list[Live]) -> None:
    first = lives[0].submit("acme")
    assert isinstance(first, Accepted)
    lives[0].execute_all()
    acts: list[Callable[[], Answer]] = [partial(again, live, first.run.id) for live in lives * 3]
    made = [answer for answer in all_well(together(acts)) if isinstance(answer, Accepted)]
    assert len(made) == 6
    assert {answer.run.retry_of for answer in made} == {first.run.id}
    assert len({answer.run.id for answer in made}) == 1
    assert sum(not answer.replayed for answer in made) == 1

    fleet.set_mode(lives[0].deps, lives[0].dispatcher, "draining", lives[0].why())
    assert draining.look_at(lives[1].deps).total == 1
    for live in lives:
        live.execute_all()
    for live in lives:
        sweep.sweep(live.deps, live.dispatcher)
    found = draining.look_at(lives[1].deps)
    assert (found.finished, found.seconds is not None) == (1, True)
    said = [action for live in lives for action, _ in live.telemetry.said if action == "drain.completed"]
    assert len(said) == 1
    lives[0].assert_books_balance()
