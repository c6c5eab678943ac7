"""The worker's doors: what is dealt with is 204, who is a stranger gets 401, and 503 is for our own troubles only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from headgate.core.errors import Unavailable
from headgate.core.run import Run
from headgate.flow.cancel import cancel
from headgate.web.certificates import Certificates
from headgate.web.oidc import PushVerifier
from headgate.wiring import System
from headgate.worker.app import create_worker, push_verifier
from tests.support import pushes
from tests.support.pushes import MALFORMED, Push, data, unwrapped, wrapped
from tests.support.systems import OWNER, TENANT, eventually, pubsub_system, said, stored, submit
from tests.support.tokens import ACCOUNT, AUDIENCE, CLAIMS, NOW, bearer, certificates, token

PUSH, DEAD_LETTER, SWEEP = "/pubsub/push", "/pubsub/dead-letter", "/tasks/sweep"
DOORS = [PUSH, DEAD_LETTER, SWEEP]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with pubsub_system(tmp_path) as built:
        yield built


@pytest.fixture
def client(system: System) -> FlaskClient:
    return create_worker(system).test_client()


def post(client: FlaskClient, path: str, push: Push, **headers: str) -> TestResponse:
    return client.post(path, data=push.body, headers={**push.headers, **headers})


def push_of(run: Run, fence: int | None = None) -> Push:
    attributes = {**run.trace, "tenant": run.tenant, "kind": run.kind, "requestId": run.request_id or ""}
    return wrapped(data(run.id, run.fence if fence is None else fence), attributes)


def push(client: FlaskClient, run: Run, fence: int | None = None) -> TestResponse:
    return post(client, PUSH, push_of(run, fence))


def dead_letter(client: FlaskClient, run: Run, fence: int | None = None) -> TestResponse:
    return post(client, DEAD_LETTER, push_of(run, fence))


def dealt_with(answer: TestResponse) -> bool:
    return answer.status_code == 204 and answer.data == b""


# --- a run


def test_a_pushed_run_is_executed_before_the_answer(system: System, client: FlaskClient):
    run = submit(system, "echo", "hello")
    assert run.state == "pending"
    assert dealt_with(push(client, run))
    ended = stored(system, run)
    assert ended.state == "completed"
    assert "hello" in str(ended.result)


def test_an_unwrapped_push_is_one_too(system: System, client: FlaskClient):
    run = submit(system)
    assert dealt_with(post(client, PUSH, unwrapped(data(run.id, run.fence), traceparent=run.trace["traceparent"])))
    assert stored(system, run).state == "completed"


def test_a_run_that_fails_is_dealt_with(system: System, client: FlaskClient):
    run = submit(system, "false")
    assert dealt_with(push(client, run))
    assert stored(system, run).state == "failed"


def test_a_duplicate_changes_nothing(system: System, client: FlaskClient):
    run = submit(system)
    assert dealt_with(push(client, run))
    once = stored(system, run)
    assert dealt_with(push(client, run))
    assert dealt_with(push(client, run, once.fence))
    assert stored(system, run) == once


def test_duplicates_at_the_same_moment_execute_once(system: System, client: FlaskClient):
    run = submit(system, "sleep", "0.3")
    start = threading.Barrier(4)

    def deliver(_: int) -> bool:
        start.wait()
        return dealt_with(push(create_worker(system).test_client(), run))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(deliver, range(4)))
    assert len(said(system, "run.started")) == 1
    assert stored(system, run).state == "completed"


@pytest.mark.parametrize("ahead", [1, 7])
def test_another_fence_is_not_this_runs_message(system: System, client: FlaskClient, ahead: int):
    run = submit(system)
    assert dealt_with(push(client, run, run.fence + ahead))
    assert stored(system, run).state == "pending"
    assert dealt_with(push(client, run))
    assert stored(system, run).state == "completed"


def test_a_cancelled_run_does_not_start(system: System, client: FlaskClient):
    run = submit(system)
    cancel(system.deps, system.dispatcher, OWNER, TENANT, run.id)
    assert dealt_with(push(client, run))
    assert stored(system, run).state == "cancelled"
    assert said(system, "run.started") == []


def test_a_run_nobody_knows_is_dealt_with(client: FlaskClient):
    assert dealt_with(post(client, PUSH, wrapped(pushes.GOOD)))


def test_the_message_correlates_the_log(
    system: System, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from headgate.telemetry import logs

    run = submit(system)
    object.__setattr__(system.deps, "telemetry", logs.logging_to_stderr("json", "INFO", "a-project"))
    assert dealt_with(push(client, run))
    [started] = [line for line in capsys.readouterr().err.splitlines() if '"run.started"' in line]
    assert '"request_id": "req-of-submit"' in started
    assert f'projects/a-project/traces/{"a" * 32}"' in started
    assert '"message_id": "77"' in started


# --- what is no message


@pytest.mark.parametrize("path", [PUSH, DEAD_LETTER])
def test_a_malformed_push_is_recorded_and_acknowledged(system: System, client: FlaskClient, path: str):
    for name, malformed in MALFORMED.items():
        assert dealt_with(post(client, path, malformed)), name
    recorded = said(system, "push.malformed")
    assert len(recorded) == len(MALFORMED) >= 30
    assert all(facts["why"] and facts["path"] == path for facts in recorded)


# --- who pushes


@pytest.mark.parametrize("path", DOORS)
def test_embedded_every_push_is_refused(tmp_path: Path, path: str):
    with pubsub_system(tmp_path, HEADGATE_DELIVERY="embedded", HEADGATE_PUSH_AUTH="") as system:
        client = create_worker(system).test_client()
        for headers in ({}, {"Authorization": bearer(token())}):
            assert_refused(system, post(client, path, wrapped(pushes.GOOD), **headers))


def assert_refused(system: System, answer: TestResponse) -> None:
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json is not None
    assert answer.json.keys() == {"error", "code", "detail", "field", "requestId"}
    assert answer.json["code"] == "UNAUTHENTICATED"
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]
    assert said(system, "push.refused")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[System, FlaskClient]]:
    """A worker that asks for a token, with a certificate and a clock of the test's own."""
    oidc = {"HEADGATE_PUSH_AUTH": "oidc", "HEADGATE_PUSH_AUDIENCE": AUDIENCE, "HEADGATE_PUSH_SERVICE_ACCOUNT": ACCOUNT}
    with pubsub_system(tmp_path, **oidc) as system:
        known = Certificates(certificates, lambda: 0.0, system.deps.telemetry)
        settings = system.settings
        verifier = PushVerifier(
            mode=settings.push_auth,
            audience=settings.push_audience,
            service_account=settings.push_service_account,
            certificates=known,
            wall_ms=lambda: NOW * 1000,
        )
        yield system, create_worker(system, verifier).test_client()


def test_each_door_has_its_own_account(tmp_path: Path):
    """Whoever may call the sweep may not push, and the other way round."""
    scheduler = "clock@test-project.iam.gserviceaccount.com"
    oidc = {"HEADGATE_PUSH_AUTH": "oidc", "HEADGATE_PUSH_AUDIENCE": AUDIENCE, "HEADGATE_PUSH_SERVICE_ACCOUNT": ACCOUNT}
    with pubsub_system(tmp_path, **oidc, HEADGATE_SWEEP_SERVICE_ACCOUNT=scheduler) as system:
        known = Certificates(certificates, lambda: 0.0, system.deps.telemetry)
        verifier = replace(push_verifier(system), certificates=known, wall_ms=lambda: NOW * 1000)
        client = create_worker(system, verifier).test_client()
        for path, account, status in (
            (SWEEP, scheduler, 200),
            (SWEEP, ACCOUNT, 401),
            (PUSH, ACCOUNT, 204),
            (PUSH, scheduler, 401),
            (DEAD_LETTER, scheduler, 401),
        ):
            answer = post(client, path, wrapped(pushes.GOOD), Authorization=bearer(token(email=account)))
            assert answer.status_code == status, (path, account)


def test_a_message_that_comes_again_says_how_often(client: FlaskClient, system: System):
    post(client, PUSH, wrapped(pushes.GOOD, deliveryAttempt=1))
    assert not said(system, "push.redelivered")
    post(client, PUSH, wrapped(pushes.GOOD, deliveryAttempt=11))
    assert [fact["delivery_attempt"] for fact in said(system, "push.redelivered")] == [11]


STRANGERS = {
    "no header": {},
    "no token": {"Authorization": "Bearer"},
    "another account": {"Authorization": bearer(token(email="x@y.example"))},
    "expired": {"Authorization": bearer(token(exp=NOW - 60))},
    "not signed": {"Authorization": bearer(token().rpartition(".")[0] + ".")},
    "an API key": {"Authorization": "Bearer hg_0123456789abcdefghjk_secret"},
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("path", DOORS)
def test_a_stranger_changes_nothing(guarded: tuple[System, FlaskClient], path: str, name: str):
    system, client = guarded
    run = submit(system)
    assert_refused(system, post(client, path, push_of(run), **STRANGERS[name]))
    assert_refused(system, post(client, path, Push(b"malformed"), **STRANGERS[name]))
    assert stored(system, run).state == "pending"
    assert said(system, "sweep.completed") == []


def test_pubsub_itself_gets_in(guarded: tuple[System, FlaskClient]):
    system, client = guarded
    run = submit(system)
    assert dealt_with(post(client, PUSH, push_of(run), Authorization=bearer(token())))
    assert stored(system, run).state == "completed"
    assert post(client, SWEEP, Push(b""), Authorization=bearer(token())).status_code == 200
    assert dealt_with(post(client, DEAD_LETTER, push_of(run), Authorization=bearer(token())))


def test_a_real_worker_checks_by_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing is handed in: the verifier that the settings make accepts a token of now, and only for its audience."""
    import time

    monkeypatch.setattr("headgate.worker.app.fetch_google", certificates)
    times: dict[str, Any] = {"iat": int(time.time()), "exp": int(time.time()) + 600}
    oidc = {"HEADGATE_PUSH_AUTH": "oidc", "HEADGATE_PUSH_AUDIENCE": AUDIENCE, "HEADGATE_PUSH_SERVICE_ACCOUNT": ACCOUNT}
    with pubsub_system(tmp_path, **oidc) as system:
        client = create_worker(system).test_client()
        assert dealt_with(post(client, PUSH, wrapped(pushes.GOOD), Authorization=bearer(token(**times))))
        assert_refused(system, post(client, PUSH, wrapped(pushes.GOOD), Authorization=bearer(token(**times, aud="x"))))
        assert_refused(system, post(client, PUSH, wrapped(pushes.GOOD), Authorization=bearer(token(**CLAIMS))))


def test_without_certificates_the_push_comes_again(tmp_path: Path):
    def down() -> Any:
        raise ConnectionError("no route")

    with pubsub_system(tmp_path) as system:
        verifier = PushVerifier(
            mode="oidc",
            audience=AUDIENCE,
            service_account=ACCOUNT,
            certificates=Certificates(down, lambda: 0.0, system.deps.telemetry),
            wall_ms=lambda: NOW * 1000,
        )
        client = create_worker(system, verifier).test_client()
        assert_unavailable(post(client, PUSH, wrapped(pushes.GOOD), Authorization=bearer(token())))
        assert_refused(system, post(client, PUSH, wrapped(pushes.GOOD), Authorization=bearer(token(aud="x"))))


# --- dead letters


def test_a_dead_letter_fails_the_run_that_still_waits_for_it(system: System, client: FlaskClient):
    run = submit(system)
    assert dealt_with(dead_letter(client, run))
    ended = stored(system, run)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.code == "DEAD_LETTERED"
    assert dealt_with(push(client, run)), "the message itself, late"
    assert stored(system, run) == ended


def test_a_dead_lettered_run_frees_its_slot(system: System, client: FlaskClient):
    run = submit(system, repo="o/r")
    others = [submit(system, repo="o/r") for _ in range(3)]
    assert [stored(system, other).state for other in others] == ["pending", "queued", "queued"]
    assert dealt_with(dead_letter(client, run))
    assert [stored(system, other).state for other in others] == ["pending", "pending", "queued"]


def test_a_dead_letter_after_success_changes_nothing(system: System, client: FlaskClient):
    run = submit(system)
    assert dealt_with(push(client, run))
    ended = stored(system, run)
    assert dealt_with(dead_letter(client, run))
    assert dealt_with(dead_letter(client, run, ended.fence))
    assert stored(system, run) == ended


def test_a_dead_letter_of_a_running_run_changes_nothing(system: System, client: FlaskClient):
    run = submit(system, "sleep", "0.5")
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(push, create_worker(system).test_client(), run)
        running = eventually(system, run, "running")
        assert dealt_with(dead_letter(client, run))
        assert dealt_with(dead_letter(client, run, running.fence))
        assert dealt_with(pushed.result(timeout=20))
    assert stored(system, run).state == "completed"


@pytest.mark.parametrize("fence", [1, 5])
def test_a_dead_letter_with_another_fence_changes_nothing(system: System, client: FlaskClient, fence: int):
    run = submit(system)
    assert dealt_with(dead_letter(client, run, run.fence + fence))
    assert stored(system, run).state == "pending"


def test_a_dead_letter_of_nobodys_run_is_dealt_with(client: FlaskClient):
    assert dealt_with(post(client, DEAD_LETTER, wrapped(pushes.GOOD)))


# --- the sweep


def test_the_sweep_answers_what_it_found(system: System, client: FlaskClient):
    answer = client.post(SWEEP)
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json.keys() == {"leases", "republished", "due", "expired", "gates", "settled", "removed"}
    assert all(type(count) is int for count in answer.json.values())


def test_the_sweep_takes_no_notice_of_its_body(client: FlaskClient):
    assert client.post(SWEEP, data=b"{not json", headers={"Content-Type": "application/json"}).status_code == 200


# --- our own troubles


def assert_unavailable(answer: TestResponse) -> None:
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json is not None
    assert answer.json.keys() == {"error", "code", "detail", "field", "requestId"}


@pytest.mark.parametrize("path", DOORS)
def test_while_the_store_is_down_everything_comes_again(
    system: System, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
):
    run = submit(system)

    def down(*args: object, **kwargs: object) -> Any:
        raise Unavailable("The store does not answer.")

    with monkeypatch.context() as broken:
        for verb in ("get", "get_all", "query", "now", "transact"):
            broken.setattr(system.deps.store, verb, down)
        assert_unavailable(post(client, path, push_of(run)))
    assert stored(system, run).state == "pending"
    assert {fact["reason"] for fact in said(system, "http.unavailable")} == {"STORE_UNAVAILABLE"}


def test_a_stopping_worker_sends_messages_on(system: System, client: FlaskClient):
    run = submit(system)
    system.executor.stop()
    assert_unavailable(push(client, run))
    assert stored(system, run).state == "pending"
    assert not said(system, "http.unavailable")  # nothing is wrong with the store: nobody is woken


def test_a_bug_is_ours_and_shows_nothing(system: System, client: FlaskClient, monkeypatch: pytest.MonkeyPatch):
    def broken(*args: object) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(system.executor, "handle", broken)
    answer = post(client, PUSH, wrapped(pushes.GOOD), **{"X-Request-Id": "req-mine"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json is not None
    assert answer.json["requestId"] == "req-mine"
    assert said(system, "http.error")[0]["request_id"] == "req-mine"


# --- paths and methods


@pytest.mark.parametrize("path", ["/", "/pubsub", "/pubsub/", "/pubsub/push/", "/pubsub/pull", "/tasks", "/healthz"])
def test_an_unknown_path_is_404_in_json(client: FlaskClient, path: str):
    for method in ("GET", "POST", "OPTIONS"):
        answer = client.open(path, method=method)
        assert answer.status_code == 404
        assert answer.json is not None
        assert answer.json["code"] == "NOT_FOUND"


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_405_in_json(client: FlaskClient, path: str, method: str):
    answer = client.open(path, method=method)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.json is not None
    assert answer.json["code"] == "METHOD_NOT_ALLOWED"


def test_these_are_all_the_doors(system: System):
    assert {str(rule) for rule in create_worker(system).url_map.iter_rules()} == set(DOORS)
