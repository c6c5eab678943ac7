"""H8: a run is cancelled or its tenant paused while its message is on the way. The claim looks at the run, not at the
message; a worker learns of a cancel by its next heartbeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headgate.core.errors import StaleFence
from headgate.core.run import Run
from headgate.flow import cancel, fleet, pause, work
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.pause import Pause
from headgate.handlers.interface import Done
from tests.hazards.test_h01_redelivery import claims_whatever_comes
from tests.support.scenes import another_process, ends, mortal_world, violations
from tests.support.world import World

DONE = work.Ending(outcome=Done({}))


def cancelled(world: World, run: Run) -> Run:
    return cancel.cancel(world.deps, world.dispatcher, world.caller(), "acme", run.id)


def test_a_cancelled_runs_message_starts_nothing(world: World):
    run = world.accepted()
    cancelled(world, run)
    assert work.claim(world.deps, run.id, run.fence, "w") is None
    assert (world.state(run), world.tenant().holders) == ("cancelled", {})


def test_control_a_worker_that_trusts_the_message_starts_a_cancelled_run(broken: World):
    run = broken.accepted()
    cancelled(broken, run)
    with pytest.raises(Exception, match="CHECK constraint"):
        # The schema is the second lock: it refuses what the claim should have.
        assert claims_whatever_comes(broken.deps, run.id, run.fence, "w") is not None


@pytest.mark.parametrize("mode", ["reject", "hold", "drain", "drain_cancel"])
def test_a_message_that_comes_after_the_pause_starts_nothing(world: World, mode: str):
    run = world.accepted()
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode=mode), world.why())
    assert work.claim(world.deps, run.id, run.fence, "w") is None
    pause.resume(world.deps, world.dispatcher, "acme", "tenant", world.why())
    assert work.claim(world.deps, run.id, run.fence, "w") is None, "nor after the resume: that message is dead"
    if mode in ("reject", "hold"):
        world.finish(run)


@pytest.mark.parametrize("what", ["kind", "maintenance"])
def test_nor_after_a_kind_was_closed_or_maintenance_began(world: World, what: str):
    run = world.accepted()
    if what == "kind":
        fleet.close_kind(world.deps, world.dispatcher, "command", "hold", world.why())
    else:
        fleet.set_mode(world.deps, world.dispatcher, "maintenance", world.why())
    assert work.claim(world.deps, run.id, run.fence, "w") is None


def test_control_a_pause_that_gives_nothing_back_lets_the_message_start(broken: World, monkeypatch: pytest.MonkeyPatch):
    def nothing(*args: Any) -> frozenset[str]:
        return frozenset()

    monkeypatch.setattr(pause, "revoke_all", nothing)
    run = broken.accepted()
    pause.pause(broken.deps, broken.dispatcher, "acme", Pause(), broken.why())
    assert work.claim(broken.deps, run.id, run.fence, "w") is not None


def test_a_cancel_before_the_finish_stands(world: World):
    run = world.claim(world.accepted())
    cancelled(world, run)
    with pytest.raises(StaleFence):
        work.beat(world.deps, run)
    assert work.finish(world.deps, world.dispatcher, run, DONE) is None
    assert (world.state(run), ends(world, run)) == ("cancelled", 1)


def test_a_finish_before_the_cancel_stands(world: World):
    run = world.claim(world.accepted())
    work.finish(world.deps, world.dispatcher, run, DONE)
    assert cancelled(world, run).state == "completed"
    assert (world.state(run), ends(world, run)) == ("completed", 1)


@pytest.mark.parametrize("first", ["cancel", "finish"])
def test_of_a_cancel_and_a_finish_at_once_the_first_commit_stands(tmp_path: Path, first: str):
    """Each was decided before the other committed."""
    world, store = mortal_world(tmp_path)
    run, other = world.claim(world.accepted()), another_process(world)

    def finish(deps: Deps, dispatcher: Dispatcher) -> None:
        work.finish(deps, dispatcher, run, DONE)

    def cancel_it(deps: Deps, dispatcher: Dispatcher) -> None:
        cancel.cancel(deps, dispatcher, world.caller(), "acme", run.id)

    winner, loser = (cancel_it, finish) if first == "cancel" else (finish, cancel_it)

    def meanwhile(writes: object) -> None:
        store.before_commit = lambda writes: None
        winner(other.deps, other.dispatcher)

    store.before_commit = meanwhile
    loser(world.deps, world.dispatcher)
    assert world.state(run) == ("cancelled" if first == "cancel" else "completed")
    assert (ends(world, run), world.tenant().holders) == (1, {})
    assert violations(world) == []


def test_control_without_the_fence_a_cancelled_run_is_overtaken_by_its_worker(
    broken: World, monkeypatch: pytest.MonkeyPatch
):
    """The wrong variant: a heartbeat that only asks whether the run is there never tells its worker to stop."""
    monkeypatch.setattr(work, "_current", lambda tx, run: tx.get(Run, run.id))
    run = broken.claim(broken.accepted())
    cancelled(broken, run)
    with pytest.raises(Exception, match="CHECK constraint"):
        work.beat(broken.deps, run)
