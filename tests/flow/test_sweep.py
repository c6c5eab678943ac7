"""The sweep catches what an event missed."""

from __future__ import annotations

from headgate.core.errors import Unavailable
from headgate.delivery.port import DeliveryDown, Message
from headgate.flow import cancel, retention, sweep, work
from headgate.handlers.interface import Failed
from headgate.store.documents import IdempotencyRecord
from tests.support.world import World


def test_a_message_that_was_lost_is_published_again(world: World) -> None:
    run = world.accepted()
    world.delivery.messages.clear()
    sweep.sweep(world.deps, world.dispatcher)
    assert world.delivery.messages == []
    world.clock.forward(11)
    sweep.sweep(world.deps, world.dispatcher)
    assert [m.run_id for m in world.delivery.messages] == [run.id]
    sweep.sweep(world.deps, world.dispatcher)
    assert len(world.delivery.messages) == 1


def test_a_broker_that_is_down_costs_nothing_but_time(world: World) -> None:
    def down(message: Message, timeout: float) -> None:
        raise DeliveryDown("no broker")

    run = world.accepted()
    world.delivery.messages.clear()  # lost, and now the broker is away
    publish, world.delivery.publish = world.delivery.publish, down  # type: ignore[method-assign]
    world.clock.forward(11)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "pending"
    assert "run.publish_failed" in world.telemetry.actions()
    world.delivery.publish = publish  # type: ignore[method-assign]
    world.clock.forward(11)
    sweep.sweep(world.deps, world.dispatcher)
    assert [m.run_id for m in world.delivery.messages] == [run.id]


def test_more_than_a_page_of_lost_leases_is_reclaimed(world: World) -> None:
    world.set_tenant("acme", cap=1000)
    from headgate.flow import fleet

    fleet.set_cap(world.deps, world.dispatcher, "system", 1000, world.why())
    runs = [world.claim(world.accepted()) for _ in range(sweep.PAGE + 20)]
    world.clock.forward(31)
    swept = sweep.sweep(world.deps, world.dispatcher)
    assert swept.leases == len(runs)
    assert {world.state(run) for run in runs} == {"queued"}


def test_a_run_that_was_found_due_and_waits_anew_is_not_let_in_early(world: World) -> None:
    """Between the sweep's look and its commit the run started, failed, and waits out its back-off."""
    run = world.accepted(not_before=world.clock.ms + 5_000)
    world.clock.forward(6)
    found = world.run(run)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "pending"
    world.finish(run, Failed(code="HANDLER_ERROR", message="once", retryable=True))
    waits = world.run(run)
    assert waits.delayed
    assert (waits.not_before or 0) > world.clock.ms
    sweep._due(world.deps, found)
    assert world.run(run) == waits
    world.clock.ms = waits.not_before or 0
    sweep._due(world.deps, found)
    assert not world.run(run).delayed


def test_a_run_whose_start_deadline_passed_expires(world: World) -> None:
    for _ in range(2):
        world.accepted(repo="o/n")
    run = world.accepted(repo="o/n", start_by=world.clock.ms + 5_000)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "queued"
    world.clock.forward(6)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "expired"
    assert world.tenant().waiting == 0


def test_a_start_takes_back_what_the_dead_process_held(world: World) -> None:
    running, pending = world.accepted(), world.accepted()
    work.claim(world.deps, running.id, running.fence, "embedded:1:boot")
    world.delivery.messages.clear()
    assert sweep.reclaim(world.deps, world.dispatcher, "embedded:") == 2
    assert world.state(running) == "queued"
    assert [m.run_id for m in world.delivery.messages] == [pending.id]


def test_a_start_leaves_its_own_runs_alone(world: World) -> None:
    """And takes those of every earlier boot of its place."""
    mine, dead = world.accepted(), world.accepted()
    work.claim(world.deps, mine.id, mine.fence, "embedded:2:new")
    work.claim(world.deps, dead.id, dead.fence, "embedded:1:old")
    assert sweep.reclaim(world.deps, world.dispatcher, "embedded:", living="embedded:2:new") == 1
    assert (world.state(mine), world.state(dead)) == ("running", "queued")


def test_what_is_expired_is_removed(world: World) -> None:
    run = world.accepted(key="k")
    world.finish(run)
    records = world.deps.store.count
    from headgate.store.documents import where

    assert records(where(IdempotencyRecord)) == 1
    world.clock.forward(91 * 24 * 3600)
    assert retention.remove_expired(world.deps, world.clock.ms) >= 2
    assert records(where(IdempotencyRecord)) == 0


def test_one_run_that_cannot_be_handled_does_not_hold_up_the_others(world: World) -> None:
    first, second = world.claim(world.accepted()), world.claim(world.accepted())
    world.clock.forward(31)
    lose = work.lose

    def flaky(deps: object, dispatcher: object, run: object) -> object:
        if getattr(run, "id", "") == first.id:
            raise Unavailable("hiccup")
        return lose(deps, dispatcher, run)  # type: ignore[arg-type]

    sweep.work.lose = flaky  # type: ignore[attr-defined]
    try:
        sweep.sweep(world.deps, world.dispatcher)
    finally:
        sweep.work.lose = lose  # type: ignore[attr-defined]
    assert (world.state(first), world.state(second)) == ("running", "queued")
    assert "sweep.failed" in world.telemetry.actions()


def test_expire_leaves_a_run_that_started_meanwhile(world: World) -> None:
    run = world.accepted(start_by=world.clock.ms + 1_000)
    world.clock.forward(2)
    assert cancel.expire_run(world.deps, "acme", run.id).state == "pending"


def test_a_heartbeat_that_comes_between_look_and_commit_keeps_its_attempt(world: World) -> None:
    run = world.claim(world.accepted())
    world.clock.forward(31)
    stale = world.run(run)  # as the sweep's query saw it
    work.beat(world.deps, run)
    assert work.lose(world.deps, world.dispatcher, stale) is None
    assert (world.state(run), world.run(run).attempt) == ("running", 1)
    assert work.lose(world.deps, world.dispatcher, stale, known_dead=True) is not None  # of a process that has ended
