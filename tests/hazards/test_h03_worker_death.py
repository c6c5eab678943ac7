"""H3: the worker dies. The lease that it no longer renews runs out, the sweep takes the run back, attempts are bounded.

Killed at every statement, system call and named point: tests/verify/test_crash.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headgate.core.run import Run
from headgate.flow import sweep, work
from tests.support.lone_worker import QUICK_LEASE, lone_worker
from tests.support.scenes import SWEEP_SECONDS, execute_all, round_of, to_the_end
from tests.support.systems import eventually, pubsub_system, submit, swept_until
from tests.support.world import World

LEASE = 30


def beaten_for(world: World, seconds: int) -> Run:
    """A claimed run whose worker lives for so long, with a heartbeat every ten seconds."""
    claimed = world.claim(world.accepted())
    for _ in range(seconds // 10):
        world.clock.forward(10)
        work.beat(world.deps, claimed, "still here\n")
    return claimed


@pytest.mark.parametrize("lived", [0, 10, 120])
def test_a_dead_workers_run_is_taken_back_within_lease_and_sweep(world: World, lived: int):
    run = beaten_for(world, lived)
    waited = 0
    while world.state(run) == "running":
        round_of(world, 5)
        waited += 5
    assert waited <= LEASE + 5 <= LEASE + SWEEP_SECONDS
    assert world.tenant().holders == {}, "its slots are free while it waits"
    to_the_end(world, [run])
    assert (world.state(run), world.run(run).attempt) == ("completed", 2)


def test_a_live_workers_run_is_left_to_it_however_long_it_takes(world: World):
    run = world.claim(world.accepted())
    for _ in range(100):
        round_of(world, 10)
        work.beat(world.deps, run)
    assert world.run(run).attempt == 1
    world.finish(run)


def test_control_without_heartbeats_a_live_run_is_taken_away(broken: World, monkeypatch: pytest.MonkeyPatch):
    """The wrong variant judges by the start: "one that has run so long must be dead"."""
    monkeypatch.setattr(work, "beaten", lambda run, now: replace(run, beat_at=now))
    run = beaten_for(broken, 40)
    sweep.sweep(broken.deps, broken.dispatcher)
    assert broken.run(run).attempt == 2


def test_control_without_the_sweep_a_dead_workers_run_holds_its_slots_for_ever(
    broken: World, monkeypatch: pytest.MonkeyPatch
):
    def nothing(*args: Any) -> None:
        return

    monkeypatch.setattr(sweep, "_lose", nothing)
    run = beaten_for(broken, 0)
    with pytest.raises(AssertionError, match="never end"):
        to_the_end(broken, [run])
    assert set(broken.tenant().holders) == {run.id}


def test_a_run_that_kills_every_worker_ends(world: World):
    run = world.accepted()
    for _ in range(20):
        if world.state(run) == "pending":
            world.claim(run)
        round_of(world)
    ended = world.run(run)
    assert (ended.state, ended.attempt) == ("failed", 3)
    assert ended.error is not None
    assert ended.error.code == "WORKER_LOST"
    assert execute_all(world) == 0, "and none of its messages starts anything"


def test_control_without_bounded_attempts_it_never_ends(broken: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(work, "may_retry", lambda run: True)
    run = broken.accepted()
    for _ in range(60):
        if broken.state(run) == "pending":
            broken.claim(run)
        round_of(broken)
    assert broken.run(run).attempt > 10


@pytest.mark.linux
def test_a_worker_killed_with_sigkill_is_noticed_by_its_silence(tmp_path: Path):
    with pubsub_system(tmp_path, **QUICK_LEASE) as system:
        run = submit(system, "sleep", "60")
        with lone_worker(tmp_path, run, **QUICK_LEASE) as worker:
            eventually(system, run, "running", seconds=60)
            worker.process.kill()
            worker.process.wait()
        again = swept_until(system, run, attempt=2, state="pending")
        assert again.fence > run.fence
