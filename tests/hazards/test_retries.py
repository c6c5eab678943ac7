"""Retries wait longer each time, with jitter and within bounds; a run that waits in line has a start deadline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.leases import backoff_ms
from headgate.core.policy import Execution, Policy
from headgate.core.run import Run
from headgate.flow import pause, sweep, work
from headgate.flow.pause import Pause
from headgate.handlers.interface import Failed
from tests.support.scenes import execute_all, round_of, violations
from tests.support.world import World

RETRYABLE = Failed(code="HANDLER_ERROR", message="the network", retryable=True)
BACKOFF = Execution()


@given(attempt=st.integers(1, 100), jitter=st.floats(0, 1, exclude_max=True))
def test_a_retry_waits_between_the_bounds(attempt: int, jitter: float):
    wait = backoff_ms(attempt, BACKOFF, jitter)
    assert 1000 * BACKOFF.backoff_min_seconds / 2 <= wait <= 1000 * BACKOFF.backoff_max_seconds
    assert wait <= 1000 * BACKOFF.backoff_min_seconds * 2.0 ** (attempt - 1)


def waits_of(world: World, runs: int) -> list[int]:
    """Runs that fail at the same moment: how long each waits, in ms."""
    started = [world.claim(world.accepted()) for _ in range(runs)]
    for run in started:
        work.finish(world.deps, world.dispatcher, run, work.Ending(outcome=RETRYABLE))
    waits = [(world.run(run).not_before or 0) - world.clock.ms for run in started]
    round_of(world, 61)
    execute_all(world)
    return waits


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, tenants={"acme": "enterprise"})
    yield made
    assert violations(made) == []


def test_runs_that_fail_together_come_back_apart(wide: World):
    waits = waits_of(wide, 20)
    assert len(set(waits)) >= 15
    assert max(waits) - min(waits) >= 500


def test_control_without_jitter_they_come_back_together(wide: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(work, "backoff_ms", lambda attempt, policy, jitter: backoff_ms(attempt, policy, 0.5))
    assert len(set(waits_of(wide, 20))) == 1


def test_a_retry_does_not_start_before_its_moment_and_holds_no_slot(world: World):
    run = world.accepted()
    world.finish(run, RETRYABLE)
    moment = world.run(run).not_before or 0
    assert world.tenant().holders == {}
    world.clock.ms = moment - 1
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "queued"
    world.clock.ms = moment
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "pending"
    execute_all(world)


def test_control_without_a_wait_a_failing_run_spins(broken: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(work, "backoff_ms", lambda attempt, policy, jitter: 0)
    run, began = broken.accepted(), broken.clock.ms
    for _ in range(3):
        broken.finish(run, RETRYABLE)
        sweep.sweep(broken.deps, broken.dispatcher)
    assert (broken.state(run), broken.clock.ms) == ("failed", began), "three attempts in no time"


# --- the start deadline


def stuck_in_line(world: World) -> tuple[Run, list[Run]]:
    holders = [world.claim(world.accepted(repo="o/r")) for _ in range(2)]
    return world.accepted(repo="o/r"), holders


def alive(world: World, holders: list[Run], hours: int) -> None:
    """The hours pass; the holders' workers go on beating."""
    for _ in range(hours):
        world.clock.forward(3600)
        for run in holders:
            work.beat(world.deps, run)
        sweep.sweep(world.deps, world.dispatcher)


def test_a_run_that_waits_past_its_start_deadline_expires(world: World):
    run, holders = stuck_in_line(world)
    alive(world, holders, 23)
    assert world.state(run) == "queued"
    alive(world, holders, 1)
    assert (world.state(run), world.tenant().waiting) == ("expired", 0)
    for holder in holders:
        world.finish(holder)


def test_a_pause_without_end_ends_its_line_too(world: World):
    run = world.accepted()
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="hold"), world.why())
    alive(world, [], 24)
    assert world.state(run) == "expired"


@pytest.mark.parametrize("back", ["retried", "handed back"])
def test_so_does_a_run_that_came_back_to_the_line(world: World, back: str):
    """It has met its first deadline: without another, a pause without end would keep it for ever."""
    run = world.claim(world.accepted())
    pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="hold"), world.why())
    if back == "retried":
        world.finish(run, RETRYABLE)
    else:
        work.hand_back(world.deps, world.dispatcher, run)
    alive(world, [], 23)
    assert world.state(run) == "queued"
    alive(world, [], 2)
    assert world.state(run) == "expired"


def test_a_run_that_has_started_is_not_bound_by_it(world: World):
    run = world.claim(world.accepted(start_by=world.clock.ms + 10_000))
    for _ in range(3):
        world.clock.forward(10)
        work.beat(world.deps, run)
        sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "running"
    world.finish(run)


def test_control_without_a_deadline_it_waits_for_ever(tmp_path: Path):
    endless = replace(Policy(), execution=Execution(start_deadline_seconds=10.0**9))
    broken = World(tmp_path, endless)
    run, holders = stuck_in_line(broken)
    alive(broken, holders, 48)
    assert broken.state(run) == "queued"
