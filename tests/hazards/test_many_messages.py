"""Many more messages than expected, days late, in any order; and the herd that comes back after an outage."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from headgate.core.policy import LineBounds, OnLimit, Policy
from headgate.core.run import Run
from headgate.delivery.port import Message
from headgate.flow import cancel, dead_letters, sweep, work
from headgate.handlers.interface import Done
from headgate.store.documents import where
from tests.hazards.test_h01_redelivery import claims_whatever_comes
from tests.support.scenes import ends, execute, execute_all, round_of, violations, with_broker
from tests.support.world import World

DAYS = 24 * 3600
FLOOD = 10_000
BIG = replace(Policy(), line=LineBounds(total=10_000, per_tenant=10_000, per_user=10_000))


def ten_runs(tmp_path: Path) -> tuple[World, list[Run], list[Message]]:
    world = World(tmp_path, tenants={"acme": "enterprise"})
    runs = [world.accepted() for _ in range(10)]
    return world, runs, list(world.delivery.messages)


def test_ten_thousand_messages_for_ten_runs_are_ten_executions(tmp_path: Path):
    """Duplicates, other fences, runs that never were: each is dealt with, ten have something to do."""
    world, runs, genuine = ten_runs(tmp_path)
    rng = Random(5)
    world.delivery.messages.clear()
    executed: Counter[str] = Counter()
    for _ in range(FLOOD):
        message = rng.choice(genuine)
        kind = rng.random()
        if kind < 0.2:
            message = replace(message, fence=rng.randrange(10))
        elif kind < 0.3:
            message = replace(message, run_id=f"run_x{rng.randrange(100)}")
        executed[message.run_id] += execute(world, message) is not None
    assert +executed == Counter({run.id: 1 for run in runs})
    assert {(world.state(run), ends(world, run)) for run in runs} == {("completed", 1)}
    assert violations(world) == []


def test_control_a_worker_that_trusts_each_message_starts_hundreds(tmp_path: Path):
    world, _, genuine = ten_runs(tmp_path)
    started = sum(claims_whatever_comes(world.deps, m.run_id, m.fence, "w") is not None for m in genuine * 30)
    assert started == 300


@pytest.mark.parametrize("reach", ["completed", "cancelled", "retried", "gone"])
def test_a_message_days_late_is_harmless(world: World, reach: str):
    run = world.accepted()
    message = world.delivery.messages[-1]
    if reach == "cancelled":
        cancel.cancel(world.deps, world.dispatcher, world.caller(), "acme", run.id)
    elif reach == "retried":
        world.claim(run)
        round_of(world)
        round_of(world)
        execute_all(world)
    else:
        world.finish(run)
    round_of(world, 91 * DAYS if reach == "gone" else 3 * DAYS)
    before = world.deps.store.get(Run, run.id)
    assert (before is None) == (reach == "gone")
    claimed = work.claim(world.deps, message.run_id, message.fence, "w")
    letter = dead_letters.bury(world.deps, world.dispatcher, message, "{}")
    assert claimed is None
    assert letter.outcome == ("unknown" if reach == "gone" else "moved_on")
    assert world.deps.store.get(Run, run.id) == before


def test_a_message_that_comes_three_days_late_starts_what_still_waits_for_it(world: World):
    """The broker was down for days, so nothing was given up: late is not wrong."""
    broker = with_broker(world)
    run = world.accepted()
    [message] = broker.messages
    broker.dead = True
    round_of(world, 3 * DAYS)
    assert world.state(run) == "pending"
    assert execute(world, message) is not None
    assert world.state(run) == "completed"


# --- the herd

WAITING = 200


def after_an_outage(tmp_path: Path) -> tuple[World, Any]:
    """Broker and workers away for an hour, twenty runs in flight, the others in line; then all is back."""
    world = World(tmp_path, BIG, tenants={"acme": "enterprise"})
    for _ in range(WAITING):
        world.accepted(on_limit=OnLimit.QUEUE)
    broker = with_broker(world)  # what the old one held is lost
    broker.dead = True
    for _ in range(60):
        round_of(world)
    broker.dead = False
    broker.tried.clear()
    return world, broker


def test_the_herd_starts_at_most_the_cap_and_each_run_is_published_once(tmp_path: Path):
    world, broker = after_an_outage(tmp_path)
    for _ in range(3):
        sweep.sweep(world.deps, world.dispatcher)
    assert len(broker.messages) == len({(m.run_id, m.fence) for m in broker.messages}) <= 20
    finished = 0
    while finished < WAITING:
        round_of(world, 5)
        assert len(world.tenant().holders) <= 20
        while broker.messages:
            message = broker.messages.pop(0)
            claimed = work.claim(world.deps, message.run_id, message.fence, "w")
            assert claimed is not None, "nobody was published twice"
            work.finish(world.deps, world.dispatcher, claimed, work.Ending(outcome=Done({})))
            finished += 1
    sent = Counter((m.run_id, m.fence) for m in broker.tried)
    assert (len(sent), max(sent.values())) == (WAITING, 1)
    assert world.deps.store.count(where(Run, ("state", "==", "completed"))) == WAITING
    assert violations(world) == []


def test_control_without_the_mark_every_sweep_publishes_all_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The wrong variant publishes what is pending whenever it passes by."""

    def everything(deps: Any, dispatcher: Any) -> None:
        for run in deps.store.query(Run, where(Run, ("state", "==", "pending"), order=("created_at",))):
            dispatcher.publish(run)

    world, broker = after_an_outage(tmp_path)
    monkeypatch.setattr(sweep, "sweep", everything)
    for _ in range(3):
        sweep.sweep(world.deps, world.dispatcher)
    assert max(Counter(m.run_id for m in broker.tried).values()) == 3
