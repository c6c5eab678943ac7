"""Submit: started, queued or refused, always with a receipt."""

from __future__ import annotations

import pytest

from headgate.core.errors import IdempotencyMismatch, InvalidRequest, NotFound
from headgate.core.policy import OnLimit
from headgate.flow import overview, receipts
from headgate.flow.submit import Accepted, Refused
from tests.support.world import World


def test_a_run_that_fits_starts_at_once(world: World) -> None:
    answer = world.submit(input={"command": "echo"})
    assert isinstance(answer, Accepted)
    assert answer.status == 201
    assert answer.run.state == "pending"
    assert [m.run_id for m in world.delivery.messages] == [answer.run.id]
    assert list(world.tenant().holders) == [answer.run.id]


def test_the_plan_limit_refuses_with_the_documented_words(world: World) -> None:
    for _ in range(5):
        world.accepted()
    answer = world.submit()
    assert isinstance(answer, Refused)
    assert answer.refusal.code == "PLAN_LIMIT_CONCURRENCY"
    assert answer.refusal.reason == (
        "Concurrent run limit reached (5 concurrent runs on Pro plan). Wait for existing runs to complete."
    )
    assert (answer.refusal.current_usage, answer.refusal.limit, answer.refusal.plan) == (5, 5, "pro")
    receipt = receipts.find_receipt(world.deps, world.caller(), "acme", answer.receipt_id)
    assert receipt["outcome"] == "refuse"
    assert receipt["binding"] == "tenant:acme"


def test_a_full_repository_queues_and_its_release_starts_the_next(world: World) -> None:
    first, second = world.accepted(repo="o/n"), world.accepted(repo="o/n")
    third, fourth = world.accepted(repo="o/n"), world.accepted(repo="o/n")
    assert [world.state(r) for r in (first, second, third, fourth)] == ["pending", "pending", "queued", "queued"]
    line = overview.line_of(world.deps, world.run(fourth))
    assert line is not None
    assert (line.position, line.length, line.waiting_for) == (2, 2, ("SCOPE_FULL:repo",))
    world.finish(first)
    assert [world.state(r) for r in (third, fourth)] == ["pending", "queued"]


def test_on_limit_queue_waits_behind_the_plan(world: World) -> None:
    runs = [world.accepted(on_limit=OnLimit.QUEUE) for _ in range(7)]
    assert [world.state(r) for r in runs] == ["pending"] * 5 + ["queued"] * 2
    for run in runs:
        world.finish(run)
    assert {world.state(r) for r in runs} == {"completed"}
    assert world.tenant().holders == {}


def test_a_blocked_run_never_hides_one_that_could_start(world: World) -> None:
    for _ in range(2):
        world.accepted(repo="o/full")
    blocked = world.accepted(repo="o/full", priority=7)
    free = world.accepted(repo="o/free")
    assert (world.state(blocked), world.state(free)) == ("queued", "pending")


def test_the_line_of_a_user_is_bounded(world: World) -> None:
    for _ in range(3 + 10):
        world.accepted(user="ada", on_limit=OnLimit.QUEUE)
    assert world.refused(user="ada", on_limit=OnLimit.QUEUE) == "USER_LIMIT_QUEUED"


def test_the_same_key_and_body_give_the_same_run(world: World) -> None:
    first = world.submit(key="k")
    again = world.submit(key="k")
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.run.id, again.receipt_id, again.status, again.replayed) == (first.run.id, first.receipt_id, 201, True)
    with pytest.raises(IdempotencyMismatch):
        world.submit(key="k", repo="o/n")


def test_a_refusal_does_not_consume_the_key(world: World) -> None:
    runs = [world.accepted() for _ in range(5)]
    assert world.refused(key="k") == "PLAN_LIMIT_CONCURRENCY"
    world.finish(runs[0])
    assert isinstance(world.submit(key="k"), Accepted)


def test_what_can_never_fit_is_refused_at_once(world: World) -> None:
    assert world.refused(priority=9) == "PRIORITY_CEILING"


def test_a_personal_credential_is_its_user(world: World) -> None:
    from headgate.core.submission import Submission
    from headgate.flow.deps import Asking

    ada = world.caller(user="ada")
    answer = world.submitter.submit(ada, "acme", Submission(kind="command"), Asking())
    assert isinstance(answer, Accepted)
    assert answer.run.user == "ada"
    with pytest.raises(InvalidRequest, match="another user"):
        world.submitter.submit(ada, "acme", Submission(kind="command", user="bob"), Asking())


def test_a_foreign_tenant_does_not_exist(world: World) -> None:
    from headgate.core.submission import Submission
    from headgate.flow.deps import Asking

    with pytest.raises(NotFound):
        world.submitter.submit(world.caller("other"), "acme", Submission(kind="command"), Asking())


def test_an_unknown_kind_names_the_known_ones(world: World) -> None:
    with pytest.raises(InvalidRequest, match="known kinds are command, git"):
        world.submit(kind="nonsense")


def test_skip_and_cancel_in_progress(world: World) -> None:
    first = world.accepted(concurrency_key="deploy", on_limit=OnLimit.SKIP)
    answer = world.submit(concurrency_key="deploy", on_limit=OnLimit.SKIP)
    assert isinstance(answer, Refused)
    assert (answer.refusal.code, answer.refusal.run_id) == ("CONCURRENCY_SKIPPED", first.id)
    second = world.accepted(concurrency_key="deploy", on_limit=OnLimit.CANCEL_IN_PROGRESS)
    assert (world.state(first), world.state(second)) == ("cancelled", "pending")


def test_not_before_waits_without_a_place_in_line(world: World) -> None:
    from headgate.flow import sweep

    run = world.accepted(not_before=world.clock.ms + 60_000)
    line = overview.line_of(world.deps, world.run(run))
    assert line is not None
    assert (line.position, line.length, line.waiting_for) == (None, 1, ("NOT_BEFORE",))
    world.clock.forward(61)
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == "pending"


def test_a_full_wide_scope_is_never_said_to_be_empty(world: World) -> None:
    """The count in the message may be a second old; what was just found full is full."""
    from headgate.flow import fleet

    fleet.set_cap(world.deps, world.dispatcher, "kind:command", 2, world.why())
    for _ in range(2):
        world.accepted()
    answer = world.submit(on_limit=OnLimit.REJECT)
    assert isinstance(answer, Refused)
    assert (answer.refusal.scope, answer.refusal.current_usage, answer.refusal.limit) == ("kind:command", 2, 2)


def test_a_receipt_names_a_scope_only_when_one_binds(world: World) -> None:
    answer = world.submit(priority=9)
    assert isinstance(answer, Refused)
    assert receipts.find_receipt(world.deps, world.caller(), "acme", answer.receipt_id)["binding"] is None


def test_the_receipt_of_a_skip_shows_what_was_there(world: World) -> None:
    world.accepted(concurrency_key="k", on_limit=OnLimit.SKIP)
    answer = world.submit(concurrency_key="k", on_limit=OnLimit.SKIP)
    assert isinstance(answer, Refused)
    receipt = receipts.find_receipt(world.deps, world.caller(), "acme", answer.receipt_id)
    assert {s["scope"]: s["limit"] for s in receipt["scopes"]}["system"] == 50  # type: ignore[attr-defined]
