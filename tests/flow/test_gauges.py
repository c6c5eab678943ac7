"""The gauges say what the store says; what they cost is a few reads; drift is found, and movement is not taken for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headgate.core.policy import OnLimit, Policy
from headgate.core.run import Run
from headgate.core.tenant import Gate, Holder, Tenant
from headgate.core.wide import Control
from headgate.flow import dead_letters, fleet, gauges, sweep
from headgate.flow.drift import slot_drift
from headgate.flow.pause import Pause, pause, resume
from headgate.telemetry.metrics import GAUGES, Sample
from tests.support.world import World

QUEUE = {"on_limit": OnLimit.QUEUE}


def measured(world: World) -> dict[str, float]:
    """By name and labels: `runs{queued}`."""
    return {
        sample.metric.name + "".join(f"{{{label}}}" for label in sample.labels): sample.value
        for sample in gauges.measure(world.deps)
    }


def change_tenant(world: World, **fields: Any) -> None:
    def body(tx: Any) -> None:
        tx.put(replace(tx.get(Tenant, "acme"), **fields))

    world.deps.store.transact(body, "damage")


def test_an_idle_system(world: World) -> None:
    found = measured(world)
    assert found["slots_in_use{system}"] == found["runs{queued}"] == found["oldest_queued_age_seconds"] == 0
    assert (found["slots_limit{system}"], found["slots_limit{kind:git}"], found["line_limit"]) == (50, 5, 1000)
    assert "slots_limit{kind:command}" not in found  # it has none
    assert "fairness_jain" not in found  # nobody asked for anything: unknown, not unfair
    assert "sweep_age_seconds" not in found

    sweep.sweep(world.deps, world.dispatcher)
    world.clock.forward(90)
    assert measured(world)["sweep_age_seconds"] == 90


def test_slots_and_the_line(world: World) -> None:
    for _ in range(4):
        world.accepted(repo="acme/web", **QUEUE)
    world.clock.forward(30)
    world.accepted(kind="git")
    found = measured(world)
    assert (found["slots_in_use{system}"], found["slots_in_use{kind:command}"], found["slots_in_use{kind:git}"]) == (
        3,
        2,
        1,
    )
    assert (found["runs{pending}"], found["runs{queued}"], found["runs{running}"]) == (3, 2, 0)
    assert (found["largest_tenant_share"], found["largest_repo_share"]) == (3 / 50, 2 / 50)
    assert found["oldest_queued_age_seconds"] == 30
    assert found["slot_drift"] == 0


def test_who_is_held_back_is_not_old(world: World) -> None:
    """Nor does it hide who waits behind it."""
    for _ in range(3):
        world.accepted(repo="acme/web", **QUEUE)
    world.accepted(not_before=world.clock.ms + 10_000_000)
    world.clock.forward(100)
    assert measured(world)["oldest_queued_age_seconds"] == 100
    pause(world.deps, world.dispatcher, "acme", Pause(scope="tenant", mode="hold"), world.why())
    world.clock.forward(60)
    found = measured(world)
    assert (found["oldest_queued_age_seconds"], found["longest_pause_seconds"]) == (0, 60)
    assert (found["paused_scopes{tenant}"], found["paused_scopes{kind}"]) == (1, 0)
    resume(world.deps, world.dispatcher, "acme", "tenant", world.why())


def test_mode_and_how_long(world: World) -> None:
    run = world.accepted()
    fleet.set_mode(world.deps, world.dispatcher, "draining", world.why())
    world.clock.forward(1801)
    found = measured(world)
    assert (found["drain_mode"], found["drain_age_seconds"], found["drain_runs_left"]) == (1, 1801, 1)
    world.finish(run)
    fleet.set_mode(world.deps, world.dispatcher, "normal", world.why())
    found = measured(world)
    assert (found["drain_mode"], found["drain_age_seconds"]) == (0, 0)


def test_dead_letters(world: World) -> None:
    dead_letters.quarantine(world.deps, "dl_1", "{}", "no message")
    world.clock.forward(50)
    dead_letters.quarantine(world.deps, "dl_2", "{}", "no message")
    found = measured(world)
    assert (found["dead_letters_open"], found["oldest_dead_letter_seconds"]) == (2, 50)


def test_drift_is_found_both_ways(world: World) -> None:
    runs = [world.accepted() for _ in range(2)]
    sound = world.tenant()
    ghost = Holder(since=world.clock.ms, expected=10, kind="command")
    for holders, drift in (
        ({**sound.holders, "run_ghost": ghost}, 1),
        ({runs[0].id: sound.holders[runs[0].id]}, 1),
        ({}, 2),
    ):
        change_tenant(world, holders=holders)
        assert measured(world)["slot_drift"] == drift
    change_tenant(world, holders=sound.holders)
    assert measured(world)["slot_drift"] == 0


def test_what_moved_meanwhile_is_no_drift(world: World) -> None:
    """The tenants were read before a run ended and another started: the numbers differ, and nothing is wrong."""
    first = world.accepted()
    stale = [world.tenant()]
    world.accepted()
    assert slot_drift(world.deps, stale, 2) == 0
    world.finish(first)
    assert slot_drift(world.deps, stale, 5) == 0


def test_every_gauge_of_the_table_is_measured(tmp_path: Path) -> None:
    world = World(tmp_path, Policy(system=1))
    for _ in range(2):
        world.accepted()
    world.clock.forward(5)
    sweep.sweep(world.deps, world.dispatcher)
    assert {sample.metric.name for sample in gauges.measure(world.deps)} == {gauge.name for gauge in GAUGES}


def test_labels_are_bounded_and_name_nobody(world: World) -> None:
    for n in range(5):
        world.accepted(repo=f"secret/repo{n}", user=f"eve{n}", **QUEUE)
    change_tenant(world, gates={"repo:secret/repo1": Gate(id="g", state="paused", since=world.clock.ms)})
    text = " ".join(label for sample in gauges.measure(world.deps) for label in sample.labels)
    assert not any(name in text for name in ("secret", "eve", "acme"))
    change_tenant(world, gates={})


def noting(ask: Callable[..., Any], asked: list[type]) -> Callable[..., Any]:
    """The same, and which class was asked for."""

    def noted(cls: type, *rest: Any) -> Any:
        asked.append(cls)
        return ask(cls, *rest)

    return noted


class Written:
    """Where the sweep's gauges go; and what it reads for them."""

    def __init__(self) -> None:
        self.rounds: list[Sequence[Sample]] = []

    def write(self, samples: Sequence[Sample]) -> None:
        self.rounds.append(samples)


def test_the_sweep_writes_once_a_round_where_there_is_a_writer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Written()
    sweep.sweep(world.deps, world.dispatcher)
    object.__setattr__(world.deps, "gauges", writer)
    read: list[type] = []
    monkeypatch.setattr(world.deps.store, "every", noting(world.deps.store.every, read))
    for _ in range(2):
        sweep.sweep(world.deps, world.dispatcher)
    assert len(writer.rounds) == 2
    assert read.count(Tenant) == 2  # those that the sweep reads anyway
    assert read.count(Run) <= 3  # fairness, once in ten minutes


def test_what_is_asked_often_is_measured_now_and_then(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[type] = []
    monkeypatch.setattr(world.deps.store, "query", noting(world.deps.store.query, asked))
    for _ in range(50):
        gauges.current(world.deps)
    assert asked.count(Control) == 1
    world.clock.forward(gauges.FRESH_SECONDS)
    gauges.current(world.deps)
    assert asked.count(Control) == 2
