"""The alarm rings when a moment has come, the breaker does not let everybody wait for a dead store."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

import pytest

from headgate.core.errors import Unavailable
from headgate.flow import overview, sweep, work
from headgate.flow.alarm import AlarmClock
from headgate.handlers.interface import Done, Failed
from headgate.store.breaker import REST_SECONDS, Breaker
from tests.support.world import World


@dataclass
class Noted:
    """An alarm that only remembers."""

    seconds: list[float] = field(default_factory=list)

    def arm(self, seconds: float) -> None:
        self.seconds.append(seconds)


def noting(world: World) -> Noted:
    noted = Noted()
    deps = replace(world.deps, alarm=noted)
    world.deps = world.submitter._deps = world.dispatcher._deps = deps
    return noted


def test_a_delayed_run_and_a_retry_arm_it(world: World) -> None:
    noted = noting(world)
    world.accepted(not_before=world.clock.ms + 4_000)
    assert noted.seconds == [4.0]
    world.finish(world.accepted(), Failed(code="HANDLER_ERROR", message="x", retryable=True))
    assert 1.0 <= noted.seconds[-1] <= 2.0


def test_what_it_rings_for(world: World) -> None:
    run = world.accepted(not_before=world.clock.ms + 4_000)
    sweep.start_due(world.deps, world.dispatcher)
    assert world.state(run) == "queued"
    world.clock.forward(4)
    sweep.start_due(world.deps, world.dispatcher)
    assert world.state(run) == "pending"


def test_it_rings_once_at_the_earliest_moment_and_stops() -> None:
    rung: list[float] = []
    clock = AlarmClock(time.monotonic)
    clock.start(lambda: rung.append(time.monotonic()))
    began = time.monotonic()
    for seconds in (30.0, 0.15, 0.1):
        clock.arm(seconds)
    time.sleep(0.6)
    clock.stop()
    assert 1 <= len(rung) <= 2
    assert 0.1 <= rung[0] - began < 0.5
    assert "alarm" not in {thread.name for thread in threading.enumerate()}


def test_long_output_is_stored_in_pieces_of_one_order(world: World) -> None:
    claimed = world.claim(world.accepted())
    text = "ä" * (work.CHUNK_CHARACTERS * 2 + 5)
    work.beat(world.deps, claimed, text)
    work.finish(world.deps, world.dispatcher, claimed, work.Ending(outcome=Done({}), output="end"))
    chunks = overview.output_of(world.deps, world.run(claimed))
    assert "".join(chunk.text for chunk in chunks) == text + "end"
    assert max(len(chunk.text.encode()) for chunk in chunks) < 1_000_000
    assert [chunk.seq for chunk in chunks] == sorted({chunk.seq for chunk in chunks})


def test_a_store_found_dead_is_probed_by_one_caller_at_a_time() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0], patience=2.5)
    breaker.admit()
    breaker.failed()
    with pytest.raises(Unavailable):
        breaker.admit()
    now[0] += REST_SECONDS
    breaker.admit()
    with pytest.raises(Unavailable):
        breaker.admit()
    breaker.answered()
    breaker.admit()
    breaker.admit()
