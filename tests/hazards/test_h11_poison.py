"""H11: messages that nobody can read, and runs that nobody survives. What is malformed is recorded as a dead letter and
acknowledged; the attempts of a run are bounded by our own record (test_h03_worker_death.py has the run that kills)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from headgate.core.errors import Unavailable
from headgate.core.policy import Policy
from headgate.delivery import envelope
from headgate.flow import dead_letters, invariants, work
from headgate.flow.replay import list_letters
from headgate.handlers.interface import Failed
from headgate.store.documents import DeadLetter
from headgate.wiring import System
from headgate.worker.app import create_worker
from tests.support.pushes import MALFORMED, Push, as_json, data, unwrapped, wrapped
from tests.support.scenes import round_of, to_the_end
from tests.support.systems import pubsub_system, said, stored, submit
from tests.support.world import World

PUSH, DEAD_LETTER = "/pubsub/push", "/pubsub/dead-letter"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with pubsub_system(tmp_path) as built:
        yield built
        assert invariants.check(built.deps).violations == ()


@pytest.fixture
def client(system: System) -> FlaskClient:
    return create_worker(system).test_client()


def post(client: FlaskClient, path: str, push: Push) -> TestResponse:
    return client.post(path, data=push.body, headers=dict(push.headers))


def letters(system: System) -> list[DeadLetter]:
    return list(list_letters(system.deps, {}, 1000).letters)


@pytest.mark.parametrize("path", [PUSH, DEAD_LETTER])
def test_every_malformed_envelope_is_recorded_and_acknowledged(system: System, client: FlaskClient, path: str):
    assert len(MALFORMED) >= 30
    for _ in range(3):
        assert {post(client, path, push).status_code for push in MALFORMED.values()} == {204}
    found = letters(system)
    distinct = {envelope.fingerprint(push.body, push.headers) for push in MALFORMED.values() if len(push.body) < 2**18}
    assert len(found) >= len(distinct) >= 28
    assert sum(letter.count for letter in found) == 3 * len(MALFORMED), "nothing is lost, nothing stands there twice"
    assert {(letter.reason, letter.state, letter.outcome, letter.tenant) for letter in found} == {
        ("malformed", "open", None, None)
    }
    assert all(letter.detail for letter in found)
    assert max(len(letter.body) for letter in found) <= 16 * 1024


def test_a_redelivery_of_the_same_message_is_one_record(system: System, client: FlaskClient):
    """What Pub/Sub counts beside the message changes with every delivery."""
    message = {"messageId": "9", "data": "%%%", "attributes": {"a": "b"}}
    for attempt in range(1, 6):
        post(client, PUSH, as_json({"message": message, "deliveryAttempt": attempt}))
    post(client, PUSH, as_json({"message": {**message, "messageId": "10"}}))
    assert sorted(letter.count for letter in letters(system)) == [1, 5]
    first = envelope.fingerprint(*_parts(unwrapped(b"x")))
    assert first == envelope.fingerprint(*_parts(unwrapped(b"x")))
    assert first != envelope.fingerprint(*_parts(Push(b"x", {"X-Goog-PubSub-Message-Id": "78"})))
    assert len({envelope.fingerprint(b'{"message": ' + b"[" * depth, {}) for depth in (1, 60_000)}) == 2


def _parts(push: Push) -> tuple[bytes, Any]:
    return push.body, push.headers


def test_no_secret_is_kept(system: System):
    client = create_worker(system).test_client()
    token = "hg_0123456789abcdefghjk_secretsecret"
    body = json.dumps({"message": {"data": "%", "attributes": {"note": f"Bearer {token}"}}}).encode()
    client.post(PUSH, data=body, headers={"Authorization": f"Bearer {token}", "X-Api-Key": token})
    [letter] = letters(system)
    assert "secretsecret" not in repr(letter)
    assert "[redacted]" in letter.body


@pytest.mark.parametrize("path", [PUSH, DEAD_LETTER])
def test_while_the_store_is_down_a_malformed_push_comes_again(
    system: System, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
):
    def down(*args: object, **kwargs: object) -> Any:
        raise Unavailable("The store does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(system.deps.store, "transact", down)
        answer = post(client, path, Push(b"{"))
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
    assert letters(system) == []
    assert post(client, path, Push(b"{")).status_code == 204
    assert [letter.body for letter in letters(system)] == ["{"]


def test_control_acknowledged_before_it_is_recorded_it_is_lost(
    system: System, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dead_letters, "quarantine", lambda deps, id, body, why: None)
    assert post(client, PUSH, Push(b"{")).status_code == 204
    assert letters(system) == []


def test_control_refused_as_an_error_it_comes_again_for_ever(
    system: System, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
):
    """The wrong variant lets the parser's complaint out: a 500 is a nack, and the message will never be better."""

    def complain(deps: object, id: str, body: str, why: str) -> None:
        raise ValueError(why)

    monkeypatch.setattr(dead_letters, "quarantine", complain)
    assert {post(client, PUSH, Push(b"{")).status_code for _ in range(5)} == {500}


def test_a_dead_letter_is_recorded_with_what_became_of_it(system: System, client: FlaskClient):
    run, done = submit(system), submit(system)
    assert post(client, PUSH, wrapped(data(done.id, done.fence))).status_code == 204
    for _ in range(2):
        for letter in (data(run.id, run.fence), data(done.id, done.fence), data("run_nobody", 0)):
            assert post(client, DEAD_LETTER, wrapped(letter)).status_code == 204
    found = {letter.run: (letter.outcome, letter.count, letter.tenant) for letter in letters(system)}
    assert found == {
        run.id: ("ended", 2, "acme"),
        done.id: ("moved_on", 2, "acme"),
        "run_nobody": ("unknown", 2, None),
    }
    assert (stored(system, run).state, stored(system, done).state) == ("failed", "completed")
    kept = said(system, "dead_letter.kept")
    assert len(kept) == 6


# --- a run that always fails in a way that may be tried again

RETRYABLE = Failed(code="HANDLER_ERROR", message="the network", retryable=True)


def attempts_of_a_poisoned_run(world: World, rounds: int) -> int:
    run = world.accepted()
    for _ in range(rounds):
        if world.state(run) == "pending":
            world.finish(run, RETRYABLE)
        round_of(world, 61)
    return world.run(run).attempt


def test_a_run_that_always_fails_is_tried_three_times(world: World):
    assert attempts_of_a_poisoned_run(world, 20) == 3
    assert world.tenant().holders == {}


def test_a_poisoned_run_does_not_hold_up_the_others(world: World):
    poisoned = world.accepted(repo="o/r")
    others = [world.accepted(repo="o/r") for _ in range(4)]
    world.finish(poisoned, RETRYABLE)
    to_the_end(world, [*others, poisoned])


def test_control_unbounded_it_is_tried_for_ever(broken: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(work, "may_retry", lambda run: True)
    assert attempts_of_a_poisoned_run(broken, 20) >= 10


def test_the_bound_is_the_policys(tmp_path: Path):

    policy = Policy()
    policy = replace(policy, execution=replace(policy.execution, max_attempts=1))
    assert attempts_of_a_poisoned_run(World(tmp_path, policy), 5) == 1
