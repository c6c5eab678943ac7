"""H19: a cap is lowered below what is in use. Nobody is killed, nothing new starts until there is room, and what is free
is never less than nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core import wide
from headgate.core.policy import OnLimit
from headgate.core.run import Run
from headgate.core.wide import Control, Shard
from headgate.flow import fleet
from headgate.store.documents import where
from tests.support.scenes import violations
from tests.support.world import World

RUNNING = 20


@pytest.fixture
def crowded(tmp_path: Path) -> tuple[World, list[Run], list[Run]]:
    """Twenty that run, three that wait."""
    world = World(tmp_path, tenants={"acme": "enterprise"})
    running = [world.claim(world.accepted()) for _ in range(RUNNING)]
    waiting = [world.accepted(on_limit=OnLimit.QUEUE) for _ in range(3)]
    return world, running, waiting


def set_cap(world: World, scope: str, cap: int) -> None:
    fleet.set_cap(world.deps, world.dispatcher, scope, cap, world.why())


def free(world: World, scope: str) -> int:
    """What the shards of a scope would still give away; fails if one would give less than nothing."""
    credits = []
    for shard in world.deps.store.query(Shard, where(Shard, ("scope", "==", scope), order=("index",))):
        room = 0 if shard.settle else (shard.credit or 0) - len(shard.holders)
        assert room >= 0, shard
        credits.append(room)
    return sum(credits)


@pytest.mark.parametrize("scope", ["system", "kind:command", "tenant"])
def test_a_cap_lowered_below_use_kills_nobody_and_starts_nobody(
    crowded: tuple[World, list[Run], list[Run]], scope: str
):
    world, running, waiting = crowded
    if scope == "tenant":
        world.set_tenant("acme", cap=1)
    else:
        set_cap(world, scope, 1)
    assert {world.state(run) for run in running} == {"running"}
    for number, run in enumerate(running):
        in_flight = len(world.tenant().holders)
        assert in_flight == RUNNING - number
        assert {world.state(one) for one in waiting} == {"queued"}
        assert scope == "tenant" or free(world, scope) == 0
        assert violations(world) == []
        world.finish(run)
    for run in waiting:
        assert [world.state(one) for one in waiting].count("pending") == 1, "one at a time from now on"
        world.finish(run)
    assert {world.state(run) for run in [*running, *waiting]} == {"completed"}
    assert violations(world) == []


def test_lowered_and_raised_again_it_gives_what_it_has(crowded: tuple[World, list[Run], list[Run]]):
    world, running, waiting = crowded
    world.set_tenant("acme", cap=50)
    for cap in (1, 22, 5, 23):
        set_cap(world, "system", cap)
        assert violations(world) == []
    assert [world.state(run) for run in waiting] == ["pending"] * 3
    assert free(world, "system") == 0
    assert {world.state(run) for run in running} == {"running"}


def test_control_dealt_anew_at_once_a_lowered_cap_is_exceeded(
    crowded: tuple[World, list[Run], list[Run]], monkeypatch: pytest.MonkeyPatch
):
    """The wrong variant deals the new cap without asking what is held: a slot for whoever comes next."""

    def careless(control: Control, shards: list[Shard]) -> tuple[Control, tuple[Shard, ...]]:
        opened = (wide._open(replace(one, credit=len(one.holders) + 1, settle=False)) for one in shards)
        return replace(control, settle=False), tuple(opened)

    monkeypatch.setattr(wide, "deal", careless)
    world, _, waiting = crowded
    world.set_tenant("acme", cap=50)
    set_cap(world, "system", 1)
    assert "pending" in {world.state(run) for run in waiting}
    assert any(found.startswith("I1") for found in violations(world))
