"""H20: the sweep, the relay or the dispatch runs several times at once. Every step looks again in its own commit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from headgate.core.policy import OnLimit
from headgate.core.run import Run, RunState
from headgate.core.submission import Submission
from headgate.flow import sweep, work
from headgate.flow.deps import Asking
from headgate.handlers.interface import Failed
from headgate.store.documents import where
from headgate.store.sqlite import SqliteBackend
from headgate.store.transaction import Tx
from tests.support.live import Live
from tests.support.places import store_over
from tests.support.scenes import another_process, ends, to_the_end, violations
from tests.support.threads import all_well, together
from tests.support.world import World

SWEEPS = 3
RUNS = 20


def three_sweeps_at_once(world: World) -> None:
    """Three sweeps in step: each has asked what is due before any of them acts."""
    sweepers = [another_process(world) for _ in range(SWEEPS)]
    due = {
        sweep._lose: world.deps.store.query(Run, sweep._overdue("lease_until", world.clock.ms, "running")(100)),
        sweep._republish: world.deps.store.query(Run, sweep._overdue("publish_due", world.clock.ms, "pending")(100)),
    }
    for act, runs in due.items():
        for run in runs:
            for sweeper in sweepers:
                act(sweeper.deps, sweeper.dispatcher, run)
    retried = world.deps.store.query(Run, where(Run, ("state", "==", "queued"), ("delayed", "==", True)))
    world.clock.forward(61)
    for run in retried:
        for sweeper in sweepers:
            sweep._due(sweeper.deps, run)
    for sweeper in sweepers:
        sweeper.dispatcher.dispatch()


def half_lost(world: World) -> tuple[list[Run], list[Run]]:
    """Two runs whose worker is dead, three whose message is."""
    lost = [world.claim(world.accepted()) for _ in range(2)]
    unsent = [world.accepted() for _ in range(3)]
    world.delivery.messages.clear()
    world.clock.forward(60)
    return lost, unsent


def test_three_sweeps_at_once_do_each_thing_once(world: World):
    lost, unsent = half_lost(world)
    three_sweeps_at_once(world)
    assert [world.run(run).attempt for run in lost] == [2, 2]
    assert [world.run(run).publishes for run in unsent] == [2, 2, 2]
    assert {world.state(run) for run in [*lost, *unsent]} == {"pending"}
    to_the_end(world, [*lost, *unsent])
    assert {ends(world, run) for run in [*lost, *unsent]} == {1}


def test_control_without_looking_again_one_lost_worker_is_retried_three_times(
    broken: World, monkeypatch: pytest.MonkeyPatch
):
    """The wrong variant believes what the query said."""

    def as_the_query_said(tx: Tx, run: Run) -> Run:
        assert tx.get(Run, run.id) is not None
        return run

    monkeypatch.setattr(work, "_current", as_the_query_said)
    monkeypatch.setattr(sweep, "expired", lambda run, now: True)
    lost, _ = half_lost(broken)
    three_sweeps_at_once(broken)
    assert broken.tenant().waiting != 0, "it stands in line as often as it was swept"
    assert any(found.startswith("I7") for found in violations(broken))
    assert lost


def test_three_processes_sweep_and_dispatch_on_real_threads(tmp_path: Path):
    """Deterministic races are above; this one is for what nobody thought of."""
    backend = SqliteBackend(":memory:", "off", None)
    lives = [Live(store_over(backend)) for _ in range(SWEEPS)]
    lives[0].prepare(acme="enterprise")
    for _ in range(RUNS):
        lives[0].submit("acme", on_limit=OnLimit.QUEUE)
    claimed = [lives[0].delivery.messages.get_nowait() for _ in range(RUNS)]
    retry = work.Ending(outcome=Failed(code="HANDLER_ERROR", message="again", retryable=True))
    for message in claimed:
        run = work.claim(lives[0].deps, message.run_id, message.fence, "w")
        assert run is not None
        work.finish(lives[0].deps, lives[0].dispatcher, run, retry)
    for _ in range(40):
        all_well(together([partial(sweep.sweep, live.deps, live.dispatcher) for live in lives]))
        if not lives[0].deps.store.count(where(Run, ("state", "==", "queued"))):
            break
        lives[0].deps.timing.sleep(0.1)
    runs = lives[0].deps.store.query(Run, where(Run))
    assert {(run.state, run.attempt) for run in runs} == {(RunState.PENDING, 2)}
    sent = sum(live.delivery.messages.qsize() for live in lives)
    assert sent == RUNS, "each promoted and published once"
    for live in lives:
        live.execute_all()
    lives[0].assert_books_balance()


def test_a_submission_meets_two_dispatches(tmp_path: Path):
    """Barging, promotion and a second dispatch at once: never more than the cap."""
    backend = SqliteBackend(":memory:", "off", None)
    lives = [Live(store_over(backend)) for _ in range(2)]
    lives[0].prepare(acme="pro")
    asked = Submission(kind="command", on_limit=OnLimit.QUEUE)
    caller = World(tmp_path).caller()
    acts: list[Callable[[], object]] = [
        partial(live.submitter.submit, caller, "acme", asked, Asking()) for live in lives * 10
    ]
    acts += [live.dispatcher.dispatch for live in lives * 5]
    all_well(together(acts))
    assert len(lives[0].tenant("acme").holders) == 5
    lives[0].execute_all()
    lives[1].execute_all()
    lives[0].execute_all()
    lives[0].assert_books_balance()
