"""H10: SIGTERM, and draining. A worker that stops claims nothing more and puts its runs back in line at once, their
attempt unused; a draining system refuses what is new and finishes what it has.

With real processes and SIGTERM: tests/services/test_worker_wsgi.py and tests/acceptance/test_embedded.py; with SIGKILL:
test_h03_worker_death.py.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from headgate.core.errors import Code
from headgate.core.policy import OnLimit
from headgate.delivery.port import Message
from headgate.flow import fleet, work
from headgate.flow.execute import Executor, Handled
from headgate.handlers.interface import Done, Failed, Job
from tests.support.scenes import execute_all, round_of, to_the_end
from tests.support.world import World


class Endless:
    """A kind whose runs end when they are told to."""

    kind = "command"

    def __init__(self) -> None:
        self.began = threading.Event()

    def check(self, input: object) -> None:
        return

    def run(self, job: Job) -> Done | Failed:
        self.began.set()
        assert job.cancelled.wait(30)
        return Failed(code="CANCELLED", message="told to stop")


def stopped_while_running(world: World, workroot: Path) -> tuple[Executor, Any]:
    """A worker that was executing a run when it was told to stop."""
    endless = Endless()
    object.__setattr__(world.deps, "handlers", {"command": endless, "git": endless})
    executor = Executor(world.deps, world.dispatcher, "stopping", workroot)
    executor.start()
    run = world.accepted()
    thread = threading.Thread(target=executor.handle, args=(Message(run_id=run.id, fence=run.fence),), daemon=True)
    thread.start()
    assert endless.began.wait(30)
    executor.stop(grace=0.0)
    thread.join(30)
    return executor, run


@pytest.fixture
def workroot(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_a_worker_that_stops_puts_its_run_back_at_once(world: World, workroot: Path):
    executor, run = stopped_while_running(world, workroot)
    now = world.run(run)
    assert (now.state, now.attempt, now.worker) == ("pending", 1, None), "in line again, and already promoted"
    assert executor.handle(Message(run_id=run.id, fence=now.fence)) is Handled.STOPPING, (
        "the next message goes elsewhere"
    )
    assert execute_all(world) == 1
    assert (world.state(run), world.run(run).attempt) == ("completed", 1)


def test_control_a_worker_that_reports_its_own_end_fails_the_run(
    broken: World, workroot: Path, monkeypatch: pytest.MonkeyPatch
):
    def reports(deps: Any, dispatcher: Any, run: Any) -> Any:
        ending = work.Ending(outcome=Failed(code="CANCELLED", message="told to stop"))
        return work.finish(deps, dispatcher, run, ending)

    monkeypatch.setattr(work, "hand_back", reports)
    _, run = stopped_while_running(broken, workroot)
    assert broken.state(run) == "failed"


def test_control_a_worker_that_just_leaves_keeps_its_slot_until_the_lease_is_over(
    broken: World, workroot: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(work, "hand_back", lambda deps, dispatcher, run: None)
    _, run = stopped_while_running(broken, workroot)
    assert broken.state(run) == "running"
    round_of(broken)
    assert broken.run(run).attempt == 2, "and an attempt was used"


def test_draining_refuses_new_runs_and_finishes_the_line(world: World):
    runs = [world.accepted(repo="o/r", on_limit=OnLimit.QUEUE) for _ in range(5)]
    fleet.set_mode(world.deps, world.dispatcher, "draining", world.why())
    assert world.refused() == Code.SYSTEM_DRAINING
    to_the_end(world, runs)
    assert {world.state(run) for run in runs} == {"completed"}


def test_maintenance_refuses_all_and_starts_nothing(world: World):
    runs = [world.accepted(repo="o/r", on_limit=OnLimit.QUEUE) for _ in range(5)]
    fleet.set_mode(world.deps, world.dispatcher, "maintenance", world.why())
    assert world.refused() == Code.SYSTEM_MAINTENANCE
    for _ in range(3):
        assert execute_all(world) == 0
        round_of(world)
    assert {world.state(run) for run in runs} == {"queued"}
    fleet.set_mode(world.deps, world.dispatcher, "normal", world.why())
    to_the_end(world, runs)


def test_control_without_the_mode_in_every_shard_a_draining_system_goes_on_accepting(
    broken: World, monkeypatch: pytest.MonkeyPatch
):
    """The wrong variant writes the mode where nobody who decides looks."""
    monkeypatch.setattr(fleet, "_flip", lambda *args: None)
    fleet.set_mode(broken.deps, broken.dispatcher, "draining", broken.why())
    assert broken.accepted().state == "pending"
