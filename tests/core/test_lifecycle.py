"""One diagram: which changes a run's state may make, from which state to which. Everything else raises."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.core.errors import IllegalTransition
from headgate.core.lifecycle import TABLE, Change, advance, created, slot_change
from headgate.core.run import IN_FLIGHT, LIVE, TERMINAL, RunError, RunState, ShardsHeld
from tests.support.lives import EDGES
from tests.support.values import NOW, a_run

S = RunState
RAISES_FENCE = {"claim", "retry", "revoke", "hand_back", "cancel", "give_up_for_input"}


# --- which changes there are


def test_the_diagram_speaks_of_every_change() -> None:
    assert {change for change, _, _ in EDGES} == set(Change) == set(TABLE)


@pytest.mark.parametrize("change", Change)
@pytest.mark.parametrize("state", RunState)
def test_a_change_goes_where_the_diagram_says_and_nowhere_else(change: Change, state: RunState) -> None:
    for to in RunState:
        if (change, state, to) in EDGES:
            assert advance(a_run(state=state), change, NOW, to).state is to
        else:
            with pytest.raises(IllegalTransition, match=f"{change} cannot take run run_1 from {state} to {to}"):
                advance(a_run(state=state), change, NOW, to)


@pytest.mark.parametrize("change", Change)
def test_without_a_target_the_change_goes_to_its_only_one(change: Change) -> None:
    for state in RunState:
        targets = [to for edge, source, to in EDGES if (edge, source) == (change, state)]
        if len(targets) == 1:
            assert advance(a_run(state=state), change, NOW).state is targets[0]
        else:  # none at all, or several ends of which none may be guessed
            with pytest.raises(IllegalTransition):
                advance(a_run(state=state), change, NOW)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_leaves_a_final_state(state: RunState) -> None:
    assert [edge for edge in EDGES if edge[1] is state] == []


def test_an_answer_never_moves_a_run() -> None:
    """Slots are taken by promotion and claim alone: an answer from the line to `running` would hold none."""
    for state, to in ((S.QUEUED, S.RUNNING), (S.RUNNING, S.QUEUED)):
        with pytest.raises(IllegalTransition):
            advance(a_run(state=state), Change.ANSWER, NOW, to)


def test_a_change_does_not_touch_the_run_it_was_given() -> None:
    run = a_run()
    advance(run, Change.PROMOTE, NOW)
    assert run == a_run()


# --- slots


@pytest.mark.parametrize("after", RunState)
@pytest.mark.parametrize("before", [None, *RunState])
def test_slots_follow_from_the_two_states_alone(before: RunState | None, after: RunState) -> None:
    holding = {"pending", "running"}
    expected = {(False, True): 1, (True, False): -1}.get((before in holding, after in holding), 0)
    assert slot_change(before, after) == expected


def test_named_sets_of_states() -> None:
    assert {"pending", "running"} == IN_FLIGHT
    assert {"queued", "pending", "running"} == LIVE
    assert set(RunState) == LIVE | TERMINAL
    assert a_run(state=S.PENDING).in_flight
    assert not a_run(state=S.QUEUED).in_flight


# --- the fence


@pytest.mark.parametrize(("change", "state", "to"), sorted(EDGES))
def test_the_fence_rises_exactly_where_an_older_attempt_could_still_write(
    change: Change, state: RunState, to: RunState
) -> None:
    after = advance(a_run(state=state, fence=7), change, NOW, to)
    assert after.fence == (8 if change in RAISES_FENCE else 7)


# --- what follows from a change


@pytest.mark.parametrize(("change", "state", "to"), sorted(EDGES))
def test_what_holds_no_slot_has_no_lease_no_worker_and_nothing_to_publish(
    change: Change, state: RunState, to: RunState
) -> None:
    busy: dict[str, Any] = {"worker": "w", "beat_at": NOW, "lease_until": NOW, "publish_due": NOW, "holding_since": NOW}
    after = advance(a_run(state=state, **busy), change, NOW, to)
    if to not in IN_FLIGHT:
        assert {name: getattr(after, name) for name in busy} == dict.fromkeys(busy)


@pytest.mark.parametrize(("change", "state", "to"), [edge for edge in sorted(EDGES) if edge[2] in TERMINAL])
def test_an_ended_run_waits_for_nothing_and_stands_nowhere(change: Change, state: RunState, to: RunState) -> None:
    shards = ShardsHeld(system="system~1", kind="kind:git~0", line="line:system~2")
    run = a_run(state=state, waiting="input", delayed=True, start_by=NOW + 1, shards=shards)
    after = advance(run, change, NOW + 5, to)
    assert after.finished_at == NOW + 5
    assert (after.waiting, after.delayed, after.start_by, after.shards) == (None, False, None, ShardsHeld())


def test_promotion_begins_to_hold() -> None:
    assert advance(a_run(), Change.PROMOTE, NOW + 1).holding_since == NOW + 1


def test_a_claim_starts_the_lease_and_ends_the_start_deadline() -> None:
    pending = a_run(state=S.PENDING, lease_seconds=2.5, start_by=NOW + 9, publish_due=NOW + 3)
    running = advance(pending, Change.CLAIM, NOW, worker="w-1")
    assert (running.worker, running.beat_at, running.lease_until) == ("w-1", NOW, NOW + 2_500)
    assert (running.started_at, running.start_by, running.publish_due) == (NOW, None, None)


def test_a_second_attempt_keeps_the_first_start() -> None:
    pending = a_run(state=S.PENDING, started_at=NOW - 60_000)
    assert advance(pending, Change.CLAIM, NOW).started_at == NOW - 60_000


def test_a_retry_counts_the_attempt_and_waits_out_its_moment() -> None:
    error = RunError(code="WORKER_LOST", message="gone")
    running = a_run(state=S.RUNNING, attempt=1, waiting="input", queued_at=NOW - 9)
    after = advance(running, Change.RETRY, NOW, not_before=NOW + 2_000, error=error)
    assert (after.attempt, after.delayed, after.not_before, after.queued_at) == (2, True, NOW + 2_000, NOW)
    assert after.waiting is None  # the question went with the attempt that asked it
    assert after.events[-1].data == {
        "state": "queued", "attempt": 2, "fence": after.fence, "reason": "retry",
        "error": {"code": "WORKER_LOST", "message": "gone"},
    }  # fmt: skip


@pytest.mark.parametrize(("change", "state"), [(Change.REVOKE, S.PENDING), (Change.HAND_BACK, S.RUNNING)])
def test_what_was_given_back_keeps_its_attempt_and_its_place(change: Change, state: RunState) -> None:
    after = advance(a_run(state=state, attempt=2, key=77, queued_at=NOW - 9, waiting="auth"), change, NOW)
    assert (after.attempt, after.key, after.queued_at, after.delayed) == (2, 77, NOW - 9, False)
    assert after.waiting is None


def test_what_was_admitted_at_once_is_queued_from_the_moment_it_is_given_back() -> None:
    assert advance(a_run(state=S.PENDING, queued_at=None), Change.REVOKE, NOW).queued_at == NOW


def test_given_up_for_input_it_waits_without_a_due_time_for_the_answer() -> None:
    asking = advance(a_run(state=S.RUNNING, not_before=NOW - 5), Change.AWAIT_INPUT, NOW, waiting="input")
    assert (asking.state, asking.waiting) == (S.RUNNING, "input")
    waiting = advance(asking, Change.GIVE_UP_FOR_INPUT, NOW + 60_000)
    assert (waiting.delayed, waiting.not_before, waiting.waiting) == (True, None, "input")
    assert (waiting.attempt, waiting.queued_at) == (1, NOW + 60_000)


def test_due_it_joins_the_line() -> None:
    assert advance(a_run(delayed=True), Change.DUE, NOW).delayed is False


def test_a_dead_letter_says_why() -> None:
    after = advance(a_run(state=S.PENDING), Change.DEAD_LETTER, NOW)
    assert after.error is not None
    assert after.error.code == "DEAD_LETTERED"


# --- events


@pytest.mark.parametrize("state", RunState)
def test_a_new_run_is_queued_or_pending(state: RunState) -> None:
    if state not in (S.QUEUED, S.PENDING):
        with pytest.raises(IllegalTransition, match=f"a new run cannot be {state}"):
            created(a_run(state=state), NOW)
        return
    event = created(a_run(state=state), NOW).events[0]
    assert (event.seq, event.at, event.type) == (1, NOW, f"run.{state}")
    assert event.data == {"state": state, "attempt": 1, "fence": 0}


@pytest.mark.parametrize(("change", "state", "to"), sorted(EDGES))
def test_every_change_is_one_event_with_the_next_number(change: Change, state: RunState, to: RunState) -> None:
    after = advance(a_run(state=state, event_seq=40), change, NOW + 3, to)
    (event,) = after.events
    assert (event.seq, after.event_seq, event.at) == (41, 41, NOW + 3)
    assert event.data["state"] == to
    stays = {"await_input": "run.await_input", "answer": "run.answer", "due": "run.due"}
    assert event.type == stays.get(change, "run.finished" if to in TERMINAL else f"run.{to}")


def test_the_error_of_an_attempt_is_not_told_again_by_the_next() -> None:
    run = advance(a_run(state=S.RUNNING), Change.RETRY, NOW, error=RunError(code="WORKER_LOST", message="gone"))
    for change in (Change.DUE, Change.PROMOTE, Change.CLAIM):
        run = advance(run, change, NOW)
        assert "error" not in run.events[-1].data
    run = advance(run, Change.FINISH, NOW, S.FAILED, error=RunError(code="HANDLER_ERROR", message="no"))
    assert run.events[-1].data["error"] == {"code": "HANDLER_ERROR", "message": "no"}
