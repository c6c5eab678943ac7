"""The checker names every broken invariant: each is broken on purpose, past the flows, and must be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headgate.core.access import Caller, Role
from headgate.core.limits import Override
from headgate.core.line import LATEST
from headgate.core.run import Event, Run, RunState
from headgate.core.tenant import Gate, Holder, Tenant
from headgate.core.wide import Control, Shard
from headgate.flow import invariants, limits
from headgate.flow.invariants import Entry, check_log, trail
from headgate.flow.invariants.books import read
from headgate.flow.invariants.lives import leases
from headgate.flow.invariants.moments import overdue
from headgate.store import reader
from headgate.store.documents import IdempotencyRecord
from headgate.store.transaction import Tx
from tests.support.world import World

HOUR = 3_600


@pytest.fixture
def scene(tmp_path: Path) -> World:
    """A run that runs, one that is pending, one that waits, one that has ended; and nothing wrong."""
    world = World(tmp_path)
    ended = world.accepted()
    world.finish(ended)
    running = world.accepted(repo="o/n")
    world.claim(running)
    world.accepted(repo="o/n")
    world.accepted(repo="o/n")
    assert invariants.check(world.deps).violations == ()
    return world


def change(world: World, cls: type, id: str, **fields: Any) -> None:
    """Write past every rule of the flows."""

    def body(tx: Tx) -> None:
        found = tx.get(cls, id)
        assert found is not None
        tx.put(replace(found, **fields))

    world.deps.store.transact(body, "wrong")


def runs(world: World, state: str) -> Run:
    return next(iter(world.deps.store.every(Run, ("state", "==", state))))


def over_its_cap(world: World) -> None:
    change(world, Tenant, "acme", cap=1, capped_at=1)


def leaked(world: World) -> None:
    holders = {**world.tenant().holders, "run_gone": Holder(since=1, expected=1.0, kind="command")}
    change(world, Tenant, "acme", holders=holders)


def acknowledged_and_lost(world: World) -> None:
    record = IdempotencyRecord(
        id="idem_x", tenant="acme", body_hash="", run_id="run_lost", receipt_id="", status=201,
        expire_at=world.clock.ms + 1_000,
    )  # fmt: skip
    world.deps.store.transact(lambda tx: tx.create(record), "wrong")


def ended_twice(world: World) -> None:
    run = runs(world, "completed")
    again = Event(seq=run.event_seq + 1, at=world.clock.ms, type="run.finished", data={"state": "failed"})
    change(world, Run, run.id, events=(*run.events, again), event_seq=run.event_seq + 1, state=RunState.FAILED)


def finished_by_an_old_fence(world: World) -> None:
    run = runs(world, "completed")
    last = run.events[-1]
    old = replace(last, data={**last.data, "fence": run.fence - 1})
    change(world, Run, run.id, events=(*run.events[:-1], old))


def off_the_diagram(world: World) -> None:
    run = runs(world, "completed")
    kept = [event for event in run.events if event.type != "run.running"]
    change(world, Run, run.id, events=tuple(kept))


def counted_wrong(world: World) -> None:
    change(world, Tenant, "acme", waiting=7)


def message_long_overdue(world: World) -> None:
    change(world, Run, runs(world, "pending").id, publish_due=world.clock.ms - HOUR * 1000)


def paused_without_a_record(world: World) -> None:
    change(world, Tenant, "acme", gates={"user:ada": Gate(id="aud_none", state="paused")})


def cap_without_a_record(world: World) -> None:
    change(world, Control, "system", cap=49)


def limit_without_a_record(world: World) -> None:
    override = Override(id="aud_none", limit=4, base=5, by="op", reason="", since=1)
    change(world, Tenant, "acme", overrides={"tenant": override}, limits={"tenant": 4})


def wide_limit_without_a_record(world: World) -> None:
    override = Override(id="aud_none", limit=49, base=50, by="op", reason="", since=1)
    change(world, Control, "system", cap=49, override=override)


def limit_other_than_signed(world: World) -> None:
    asked = limits.Change(scope="tenant:acme", limit=5)
    limits.put_limit(world.deps, world.dispatcher, Caller(credential="op", role=Role.OPERATOR), asked, world.why())
    assert invariants.check(world.deps).violations == ()
    change(world, Tenant, "acme", limits={"tenant": 4})


def limit_that_nobody_set(world: World) -> None:
    change(world, Tenant, "acme", limits={"tenant": 999})


def cap_beside_the_plan(world: World) -> None:
    change(world, Tenant, "acme", cap=500)


def weight_beside_the_plan(world: World) -> None:
    change(world, Tenant, "acme", weight=100.0)


def credits_beyond_the_cap(world: World) -> None:
    change(world, Shard, "system~1", credit=100)


def offers_nothing(world: World) -> None:
    """Nobody would ever look at the tenant."""
    change(world, Tenant, "acme", offers=("git",))


def never_its_turn(world: World) -> None:
    change(world, Tenant, "acme", turn=1e12)


def lease_for_ever(world: World) -> None:
    """Its worker may die: nobody would ever take it back."""
    run = runs(world, "running")
    patient = round((run.lease_seconds + invariants.PATIENCE_SECONDS) * 1000)
    change(world, Run, run.id, lease_until=world.clock.ms + patient + 60_000)


def due_in_another_age(world: World) -> None:
    change(world, Run, runs(world, "queued").id, not_before=LATEST + 1)


def expires_in_another_age(world: World) -> None:
    change(world, Run, runs(world, "queued").id, start_by=LATEST * 4)


def published_in_another_age(world: World) -> None:
    change(world, Run, runs(world, "pending").id, publish_due=LATEST + 1)


def lease_long_over(world: World) -> None:
    change(world, Run, runs(world, "running").id, lease_until=world.clock.ms - HOUR * 1000)


def too_many_attempts(world: World) -> None:
    change(world, Run, runs(world, "running").id, attempt=9)


def pause_never_finished(world: World) -> None:
    change(world, Tenant, "acme", gates={"user:ada": Gate(id="aud_none", state="pausing", since=1)})


def overtaken(world: World) -> None:
    """Who needs the same scopes and stands behind started an hour later."""
    waits, pending = runs(world, "queued"), runs(world, "pending")
    later = world.clock.ms + 9 * 300_000 + 1_000
    change(world, Run, pending.id, key=waits.key + 1, holding_since=later)


BREAKS: list[tuple[str, Callable[[World], None]]] = [
    ("I1", over_its_cap), ("I2", leaked), ("I3", acknowledged_and_lost), ("I4", ended_twice),
    ("I5", finished_by_an_old_fence), ("I6", off_the_diagram), ("I7", counted_wrong),
    ("I8", message_long_overdue), ("I9", paused_without_a_record),
    ("I9", cap_without_a_record), ("I9", limit_without_a_record), ("I9", wide_limit_without_a_record),
    ("I1", credits_beyond_the_cap), ("I7", offers_nothing), ("I7", never_its_turn), ("I9", limit_that_nobody_set),
    ("I9", cap_beside_the_plan), ("I9", weight_beside_the_plan), ("I10", lease_for_ever), ("I10", due_in_another_age),
    ("I10", expires_in_another_age), ("I10", published_in_another_age),
    ("I9", limit_other_than_signed), ("I10", lease_long_over), ("I10", too_many_attempts), ("I10", pause_never_finished),
    ("I11", overtaken),
]  # fmt: skip


@pytest.mark.parametrize(("invariant", "wrong"), BREAKS, ids=[f"{name}-{wrong.__name__}" for name, wrong in BREAKS])
def test_what_is_broken_is_named(scene: World, invariant: str, wrong: Callable[[World], None]) -> None:
    wrong(scene)
    assert invariant in {violation.invariant for violation in invariants.check(scene.deps).violations}


def test_what_the_store_itself_refuses_is_named_too(scene: World) -> None:
    """SQLite's checks do not let these in; the rules of the checker find them in any books."""
    books = read(scene.deps)
    running = [replace(run, lease_until=None) for run in books.live if run.state == "running"]
    assert [v.invariant for v in leases(replace(books, live=running))] == ["I5"]
    pending = [replace(run, publish_due=None) for run in books.live if run.state == "pending"]
    assert [v.invariant for v in overdue(replace(books, live=pending), scene.deps.policy, 1)] == ["I8"]


def test_a_cap_lowered_below_use_is_no_violation(scene: World) -> None:
    scene.clock.forward(1)
    scene.set_tenant("acme", cap=1)
    assert invariants.check(scene.deps).violations == ()


def test_every_key_is_looked_at(scene: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pages than one, and what the last of them says; a key whose time is over says nothing."""
    monkeypatch.setattr(reader, "PAGE", 3)
    monkeypatch.setattr(trail, "PAGE", 2)
    known = runs(scene, "completed").id
    lost = {"idem_00": -1, **{f"idem_{n:02}": 1_000 * n for n in range(1, 12)}}

    def make(tx: Tx) -> None:
        for id, left in lost.items():
            run = {"idem_00": "run_over", "idem_11": "run_lost", "idem_05": "run_lost_too"}.get(id, known)
            tx.create(IdempotencyRecord(id=id, tenant="acme", body_hash="", run_id=run, receipt_id="", status=201,
                                        expire_at=scene.clock.ms + 60_000 * left))  # fmt: skip

    scene.deps.store.transact(make, "wrong")
    found = invariants.check(scene.deps).violations
    assert [(v.invariant, v.subject) for v in found] == [("I3", "run_lost"), ("I3", "run_lost_too")]


def test_a_deleted_run_that_waited_is_missing_where_it_was_counted(scene: World) -> None:
    gone = runs(scene, "queued")

    def body(tx: Tx) -> None:
        tx.get(Run, gone.id)
        tx.delete(Run, gone.id)

    scene.deps.store.transact(body, "wrong")
    assert "line:tenant/acme" in {v.subject for v in invariants.check(scene.deps).violations if v.invariant == "I7"}


# --- a recorded log


def entry(seq: int, state: str, at: int | None = None, run: str = "run_a", **data: object) -> Entry:
    name = "finished" if state in ("completed", "failed", "cancelled") else state
    moment = at if at is not None else seq
    return Entry(run=run, tenant="acme", seq=seq, at=moment, type=f"run.{name}", data={"state": state, **data})


GOOD = [entry(1, "queued", fence=0), entry(2, "pending", fence=0), entry(3, "running", fence=1),
        entry(5, "completed", fence=1)]  # fmt: skip


def test_a_good_log_has_nothing_wrong_in_any_order() -> None:
    assert check_log(GOOD[::-1]) == ()


@pytest.mark.parametrize(
    ("invariant", "log"),
    [
        ("I4", [*GOOD, entry(6, "failed", fence=1)]),
        ("I5", [*GOOD[:3], entry(4, "completed", fence=0)]),
        ("I5", [*GOOD[:3], entry(4, "queued", fence=1), entry(5, "pending", fence=1), entry(6, "running", fence=1)]),
        ("I6", [GOOD[0], GOOD[2]]),
        ("I6", [entry(1, "running", fence=1)]),
        ("I6", [GOOD[0], entry(2, "pending", at=0, fence=0)]),
    ],
)
def test_a_wrong_log_is_named(invariant: str, log: list[Entry]) -> None:
    assert invariant in {violation.invariant for violation in check_log(log)}


def test_a_log_shows_that_a_cap_was_passed() -> None:
    two = [entry(1, "pending", at=1), entry(1, "pending", at=2, run="run_b"), entry(2, "cancelled", at=3)]
    assert [v.subject for v in check_log(two, {"tenant:acme": 1})] == ["tenant:acme"]
    assert check_log(two, {"tenant:acme": 2, "system": 2}) == ()
    follows = [entry(1, "pending", at=1), entry(1, "pending", at=2, run="run_b"), entry(2, "cancelled", at=2)]
    assert check_log(follows, {"tenant:acme": 1}) == ()  # given back and taken in the same millisecond
