"""Every kind of damage, planted straight into the store: reported, left alone by the report, repaired, clean afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headgate.core import tenant as tenants
from headgate.core import wide
from headgate.core.lane import Lane, LaneState
from headgate.core.policy import OnLimit
from headgate.core.run import Run, ShardsHeld
from headgate.core.tenant import Holder, Tenant
from headgate.core.wide import Control, Shard
from headgate.flow import audit, fleet, invariants
from headgate.flow.repair import Repair, repair
from headgate.store.documents import COLLECTIONS, AuditRecord, UserLine, where
from headgate.store.port import Query
from tests.support.world import World

Damage = Callable[[World, list[Run]], None]


def scene(world: World) -> list[Run]:
    """Two runs of a repository in flight, two that wait behind them, one of another user, one that has ended."""
    asked = {"repo": "acme/web", "user": "ada", "on_limit": OnLimit.QUEUE}
    runs = [world.accepted(**asked) for _ in range(4)]
    ended = world.accepted(user="bob")
    world.finish(ended)
    return [world.run(run) for run in (*runs, ended)]


def change(world: World, cls: type, id: str, edit: Callable[[Any], Any]) -> None:
    """Write a document as no flow would."""

    def body(tx: Any) -> None:
        tx.put(edit(tx.get(cls, id)))

    world.deps.store.transact(body, "damage")


def tenant(**fields: Any) -> Damage:
    return lambda world, runs: change(world, Tenant, "acme", lambda now: replace(now, **fields))


def leaked(world: World, runs: list[Run]) -> None:
    ghost = Holder(since=world.clock.ms, expected=10, kind="command", scopes=("repo:acme/web",))
    change(world, Tenant, "acme", lambda now: replace(now, holders={**now.holders, "run_ghost": ghost}))


def leaked_by_an_ended_run(world: World, runs: list[Run]) -> None:
    ghost = Holder(since=world.clock.ms, expected=10, kind="command")
    change(world, Tenant, "acme", lambda now: replace(now, holders={**now.holders, runs[4].id: ghost}))


def other_scopes(world: World, runs: list[Run]) -> None:
    def edit(now: Tenant) -> Tenant:
        return replace(now, holders={id: replace(held, scopes=()) for id, held in now.holders.items()})

    change(world, Tenant, "acme", edit)


def in_shard(slot: str, id: str | None) -> Damage:
    """`id` (None: the run itself) put into, or the run taken out of, the shard that the run names."""

    def plant(world: World, runs: list[Run]) -> None:
        shard = getattr(runs[0].shards, slot)

        def edit(now: Shard) -> Shard:
            return replace(now, holders={**now.holders, id: 1} if id else {}, free=False)

        change(world, Shard, shard, edit)

    return plant


def miscounted(step: int) -> Damage:
    """The shard of the line in which a run waits counts others, too few or too many."""

    def plant(world: World, runs: list[Run]) -> None:
        change(world, Shard, str(runs[2].shards.line), lambda now: replace(now, waiting=now.waiting + step))

    return plant


def stands_twice(world: World, runs: list[Run]) -> None:
    other = next(s for s in every(world, Shard) if s.scope == "system" and s.id != runs[0].shards.system)
    change(world, Shard, other.id, lambda now: replace(now, holders={runs[0].id: 1}, free=False))


def names_no_shard(world: World, runs: list[Run]) -> None:
    change(world, Run, runs[0].id, lambda now: replace(now, shards=ShardsHeld()))


def user_count(world: World, runs: list[Run]) -> None:
    line = next(line for line in every(world, UserLine) if line.user == "ada")
    change(world, UserLine, line.id, lambda now: replace(now, waiting=7))


def lane(**fields: Any) -> Damage:
    return lambda world, runs: change(world, Lane, runs[2].lane, lambda now: replace(now, **fields))


def lane_gone(world: World, runs: list[Run]) -> None:
    def body(tx: Any) -> None:
        tx.get(Lane, runs[2].lane)
        tx.delete(Lane, runs[2].lane)

    world.deps.store.transact(body, "damage")


def sleeping(world: World, runs: list[Run]) -> None:
    """A limit was set, and nobody was woken."""
    why = world.why()

    def body(tx: Any) -> None:
        override = fleet.override_of(why, 9, 2, tx.now, None)
        tx.put(tenants.overridden(tx.get(Tenant, "acme"), "repo:acme/web", override, tx.now))
        audit.record(tx, why, "limit.set", "repo:acme/acme/web", None, None, "acme")

    world.deps.store.transact(body, "damage")


def credit(add: int, scope: str = "system") -> Damage:
    """A shard with another credit, marked as that one should be."""

    def plant(world: World, runs: list[Run]) -> None:
        shard = next(s for s in every(world, Shard) if s.scope == scope and not s.holders)
        spoiled = replace(shard, credit=(shard.credit or 0) + add)
        change(world, Shard, shard.id, lambda now: replace(spoiled, free=not wide.full(spoiled)))

    return plant


def all_credits_eaten(world: World, runs: list[Run]) -> None:
    for shard in every(world, Shard):
        if shard.scope == "system":
            change(world, Shard, shard.id, lambda now: replace(now, credit=len(now.holders), free=False))


def credit_moved(world: World, runs: list[Run]) -> None:
    """They add up, but one holds more than it may."""
    other = next(s for s in every(world, Shard) if s.scope == "system" and not s.holders)
    own = str(runs[0].shards.system)
    change(world, Shard, own, lambda now: replace(now, credit=0, free=False))
    change(world, Shard, other.id, lambda now: replace(now, credit=now.credit + 1))


def unmarked(world: World, runs: list[Run]) -> None:
    shard = next(s for s in every(world, Shard) if s.scope == "system" and s.free)
    change(world, Shard, shard.id, lambda now: replace(now, free=False))


def shut(world: World, runs: list[Run]) -> None:
    """A shard that is closed though its scope is open: nobody would ever open it."""
    shard = next(s for s in every(world, Shard) if s.scope == "system")
    change(world, Shard, shard.id, lambda now: replace(now, settle=True, free=False))


def shard_gone(slot: str, which: int) -> Damage:
    def plant(world: World, runs: list[Run]) -> None:
        def body(tx: Any) -> None:
            id = str(getattr(runs[which].shards, slot))
            tx.get(Shard, id)
            tx.delete(Shard, id)

        world.deps.store.transact(body, "damage")

    return plant


def cap_of_nobody(world: World, runs: list[Run]) -> None:
    change(world, Control, "system", lambda now: replace(now, cap=7))


def limit_unset(world: World, runs: list[Run]) -> None:
    """The limit that an operator has set is signed and does not count."""
    world.set_limit("user:acme/eve", 1)
    change(world, Tenant, "acme", lambda now: replace(now, limits={}))


DAMAGE: dict[str, tuple[Damage, str]] = {
    "a leaked holder": (leaked, "dropped leaked holder run_ghost"),
    "a leaked holder of an ended run": (leaked_by_an_ended_run, "dropped leaked holder"),
    "no holders": (tenant(holders={}), "its slot back"),
    "holders of other scopes": (other_scopes, "its scopes back"),
    "the line miscounted": (tenant(waiting=9), "waiting 9 → 2"),
    "the line below nothing": (tenant(waiting=-1), "waiting -1 → 2"),
    "lanes miscounted": (tenant(ready={"command": 3}, parked={}), "recounted its lanes"),
    "a user miscounted": (user_count, "waiting of user ada 7 → 2"),
    "a leaked system slot": (in_shard("system", "run_ghost"), "dropped leaked holder run_ghost"),
    "a leaked kind slot": (in_shard("kind", "run_ghost"), "dropped leaked holder run_ghost"),
    "a leaked place in line": (miscounted(+3), "waiting 4 → 1"),
    "a system slot lost": (in_shard("system", None), "back into system~"),
    "a kind slot lost": (in_shard("kind", None), "back into kind:command~"),
    "a place in line lost": (miscounted(-1), "waiting 0 → 1"),
    "a run in two shards": (stands_twice, "dropped leaked holder"),
    "a run that names no shard": (names_no_shard, "back into system~"),
    "a lane with another head": (lane(head=1), "with head 1"),
    "a lane that was forgotten": (lane(head=None, state=LaneState.IDLE, on=None), "with head None"),
    "a lane parked elsewhere": (lane(on="user:ada"), "lane"),
    "a lane that is gone": (lane_gone, "lane"),
    "a lane that sleeps": (sleeping, "ready"),
    "offers of a kind that has nothing": (tenant(offers=("git",)), "offers ['git'] → []"),
    "another's turn": (tenant(turn=1e9), "turn 1000000000.0 → "),
    "a limit that nobody set": (tenant(limits={"tenant": 999}), "limits {'tenant': 999} → {}"),
    "a limit that is signed and not in force": (limit_unset, "limits {} → {'user:eve': 1}"),
    "a cap beside the plan": (tenant(cap=500), "cap 500 → 5"),
    "a cap that only the policy may say": (tenant(defaults={"repo": 9}), "the rest as the policy says"),
    "a scope of another cap": (cap_of_nobody, "dealt anew: credits add up to 50, cap 7"),
    "too much credit": (credit(+100), "dealt anew: credits add up to 150, cap 50"),
    "too little credit": (credit(-1), "dealt anew: credits add up to 49, cap 50"),
    "credit of the line": (credit(+5, "line:system"), "dealt anew: credits add up to 1005, cap 1000"),
    "no credit at all": (all_credits_eaten, "dealt anew: credits add up to"),
    "credit in the wrong shard": (credit_moved, "holds 1, credit 0"),
    "room that is not marked": (unmarked, "dealt anew: shards are marked"),
    "a shard that was never opened": (shut, "though the scope is open"),
    "a system shard that is gone": (shard_gone("system", 0), "49 shards, should be 50"),
    "a shard of a kind that is gone": (shard_gone("kind", 0), "15 shards, should be 16"),
    "a shard of the line that is gone": (shard_gone("line", 2), "63 shards, should be 64"),
}


def every(world: World, cls: type) -> list[Any]:
    return world.deps.store.query(cls, where(cls))


def picture(world: World) -> list[Any]:
    """Every document with its version."""
    backend = world.deps.store._backend
    return [backend.query(Query(collection), 5).found for collection in COLLECTIONS.values()]


def mend(world: World) -> tuple[Repair, ...]:
    return repair(world.deps, world.dispatcher, replace(world.why("after the incident"), id=""))


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_reported_repaired_and_gone(world: World, name: str) -> None:
    plant, said = DAMAGE[name]
    plant(world, scene(world))
    planted = picture(world)

    assert invariants.check(world.deps).violations != ()
    assert picture(world) == planted, "a report changes nothing"

    repaired = mend(world)

    assert said in "; ".join(note for one in repaired for note in one.done)
    assert invariants.check(world.deps).violations == ()
    for one in repaired:
        record = world.deps.store.get(AuditRecord, one.receipt)
        assert record is not None
        assert (record.action, record.actor, record.reason) == ("books.repaired", "op", "after the incident")
        assert record.subject == one.subject
    assert mend(world) == ()


@pytest.mark.parametrize("name", DAMAGE)
def test_work_goes_on_after_a_repair(world: World, name: str) -> None:
    """Every run of the scene ends, by events alone."""
    plant, _ = DAMAGE[name]
    runs = scene(world)
    plant(world, runs)
    mend(world)
    for _ in range(len(runs)):
        for run in runs:
            if world.state(run) == "pending":
                world.finish(run)
    assert {world.state(run) for run in runs} == {"completed"}


def test_nothing_wrong_is_nothing_written(world: World) -> None:
    scene(world)
    before = picture(world)
    assert mend(world) == ()
    assert picture(world) == before


def test_a_freed_slot_starts_who_waits(world: World) -> None:
    runs = [world.accepted(on_limit=OnLimit.QUEUE) for _ in range(5)]
    leaked(world, runs)
    waiting = world.accepted(on_limit=OnLimit.QUEUE)
    world.finish(runs[0])
    assert world.state(waiting) == "queued"  # the leak has taken the fifth slot
    mend(world)
    assert world.state(waiting) == "pending"


def test_a_tenant_that_seemed_to_offer_nothing_is_found_again(world: World) -> None:
    """What it offers is how a dispatch finds it."""
    fleet.set_cap(world.deps, world.dispatcher, "system", 1, world.why())
    world.accepted()
    waiting = world.accepted(on_limit=OnLimit.QUEUE)
    assert world.tenant().offers == ("command",)
    change(world, Tenant, "acme", lambda now: replace(now, offers=()))
    fleet.set_cap(world.deps, world.dispatcher, "system", None, world.why())
    assert world.state(waiting) == "queued"
    assert [(v.invariant, v.subject) for v in invariants.check(world.deps).violations] == [("I7", "tenant:acme")]
    mend(world)
    assert world.state(waiting) == "pending"


def test_a_scope_whose_credits_were_eaten_starts_who_waits(world: World) -> None:
    all_credits_eaten(world, [])
    waiting = world.accepted(on_limit=OnLimit.QUEUE)
    assert world.state(waiting) == "queued"
    mend(world)
    assert world.state(waiting) == "pending"


def test_a_shard_that_is_made_again_carries_what_all_do(world: World) -> None:
    """A mode, a closed kind: or runs would start there on the old one."""
    fleet.close_kind(world.deps, world.dispatcher, "git", "reject", world.why())

    def body(tx: Any) -> None:
        tx.get(Shard, "system~7")
        tx.delete(Shard, "system~7")

    world.deps.store.transact(body, "damage")
    mend(world)
    made = world.deps.store.get(Shard, "system~7")
    assert made is not None
    assert (made.closed, made.credit, made.settle) == ({"git": "reject"}, 1, False)
    fleet.open_kind(world.deps, world.dispatcher, "git", world.why())


def test_a_leak_in_a_closed_scope_lets_it_be_dealt(world: World) -> None:
    """A cap lowered below use waits for a release; the leak would never be one."""
    shard = next(shard for shard in every(world, Shard) if shard.scope == "system")
    change(world, Shard, shard.id, lambda now: replace(now, holders={"run_ghost": 1}))
    fleet.set_cap(world.deps, world.dispatcher, "system", 0, world.why())
    fleet.deal(world.deps, "system")
    assert any(shard.settle for shard in every(world, Shard))
    mend(world)
    assert not any(shard.settle for shard in every(world, Shard))


def test_what_only_a_run_could_tell_is_not_touched(world: World) -> None:
    """A run whose history is wrong is reported and stays: nobody knows what was right."""
    run = scene(world)[0]
    change(world, Run, run.id, lambda now: replace(now, event_seq=0))
    found = invariants.check(world.deps).violations
    assert [violation.invariant for violation in found] == ["I6"]
    assert mend(world) == ()
    assert invariants.check(world.deps).violations == found
    change(world, Run, run.id, lambda now: replace(now, event_seq=run.event_seq))
