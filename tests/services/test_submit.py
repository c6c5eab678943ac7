"""Submitting over HTTP: what is accepted, what is refused in which words, and what no body can break."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from headgate.core.run import Run
from headgate.core.tenant import Tenant
from headgate.store.documents import where
from headgate.store.transaction import Tx
from tests.services.served import ECHO, Api

RUN_KEYS = [
    "runId", "tenantId", "kind", "state", "waiting", "priority", "repo", "org", "user", "labels", "input", "limits",
    "attempt", "maxAttempts", "retryOf", "notBefore", "createdAt", "queuedAt", "startedAt", "finishedAt", "result",
    "error", "artifacts", "usage", "receiptId",
]  # fmt: skip


def runs_of(api: Api) -> int:
    return api.system.deps.store.count(where(Run, ("tenant", "==", "acme")))


# --- accepted


def test_an_admitted_run_is_201_with_its_location(api: Api) -> None:
    fields: dict[str, Any] = {"repo": "acme/web", "user": "ada", "priority": "high", "labels": {"team": "web"}}
    answer = api.submit(**fields, limits={"memoryBytes": 1e6, "cpuCores": 1}, notBefore=None)

    run = answer.json()
    assert answer.status == 201
    assert answer.headers["Location"] == f"/tenants/acme/runs/{run['runId']}"
    assert list(run) == RUN_KEYS
    assert run["state"] == "pending"
    assert (run["repo"], run["org"], run["user"], run["priority"]) == ("acme/web", "acme", "ada", 7)
    assert run["labels"] == {"team": "web"}
    assert run["limits"] == {"memoryBytes": 1_000_000, "durationSeconds": 300.0, "cpuCores": 1.0}
    assert run["input"] == ECHO["input"]
    assert run["receiptId"] == f"{run['runId']}.1"


def test_a_queued_run_is_202_with_its_line(api: Api) -> None:
    api.submit("small")
    second = api.submit("small", onLimit="queue")

    assert second.status == 202
    run = second.json()
    assert list(run) == [*RUN_KEYS, "line"]
    assert list(run["line"]) == [
        "position", "length", "aheadByPriority", "estimatedWait", "waitingFor", "holders", "asOf"
    ]  # fmt: skip
    assert (run["line"]["position"], run["line"]["length"]) == (1, 1)
    assert run["line"]["waitingFor"] == ["SCOPE_FULL:tenant"]


def test_a_delayed_run_has_no_position_yet(api: Api) -> None:
    run = api.submit(notBefore="2199-01-01T00:00:00.5+01:00").json()

    assert run["state"] == "queued"
    assert run["notBefore"] == "2198-12-31T23:00:00.500Z"
    assert run["line"]["position"] is None
    assert run["line"]["waitingFor"] == ["NOT_BEFORE"]


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_the_body_is_json_whatever_it_is_called(api: Api, media: str) -> None:
    assert api.submit(headers={"Content-Type": media}).status == 201


def test_null_is_as_good_as_absent(api: Api) -> None:
    fields: dict[str, Any] = dict.fromkeys(
        ("repo", "user", "priority", "labels", "limits", "onLimit", "notBefore", "startBy", "concurrencyKey")
    )

    assert api.submit(**fields).status == 201


# --- idempotency


def test_the_same_key_gives_the_same_run(api: Api) -> None:
    key = {"Idempotency-Key": "deploy 7"}
    first = api.submit(headers=key)
    again = api.submit(headers=key)
    other = api.submit(headers=key, priority=3)

    assert (first.status, again.status) == (201, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert [again.json()[k] for k in ("runId", "receiptId")] == [first.json()[k] for k in ("runId", "receiptId")]
    assert (other.status, other.json()["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    assert runs_of(api) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "t\u00e9", "a\tb"])
def test_a_bad_key_is_refused(shared_api: Api, key: str) -> None:
    answer = shared_api.submit(headers={"Idempotency-Key": key})

    assert (answer.status, answer.json()["field"]) == (400, "Idempotency-Key")
    assert runs_of(shared_api) == 0


# --- refused


def test_the_plans_limit_word_for_word(api: Api) -> None:
    for _ in range(5):
        assert api.submit().status == 201
    refused = api.submit(headers={"X-Request-Id": "req-42"})

    assert refused.status == 429
    assert refused.headers["Retry-After"] == "30"
    receipt = refused.json()["receiptId"]
    assert refused.content.decode() == json.dumps(
        {
            "error": "Concurrency limit exceeded",
            "reason": "Concurrent run limit reached (5 concurrent runs on Pro plan). "
            "Wait for existing runs to complete.",
            "currentUsage": 5,
            "limit": 5,
            "plan": "pro",
            "retryAfter": 30,
            "code": "PLAN_LIMIT_CONCURRENCY",
            "receiptId": receipt,
            "requestId": "req-42",
        },
        separators=(",", ":"),
    )
    found = api.get(f"/tenants/acme/receipts/{receipt}").json()
    assert (found["outcome"], found["code"], found["binding"]) == ("refuse", "PLAN_LIMIT_CONCURRENCY", "tenant:acme")
    assert (found["requestId"], found["runId"]) == ("req-42", None)
    assert found["retryAt"].endswith("Z")


def change(api: Api, **facts: Any) -> None:
    def body(tx: Tx) -> None:
        tenant = tx.get(Tenant, "acme")
        assert tenant is not None
        tx.put(dataclasses.replace(tenant, **facts))

    api.system.deps.store.transact(body, "acme")


def test_a_paused_tenant_word_for_word(api: Api) -> None:
    assert api.post("/tenants/acme/pause", {"reason": "queue_backlog"}).status == 200
    refused = api.submit(headers={"X-Request-Id": "req-42"})

    assert refused.status == 503
    assert refused.headers["Retry-After"] == "60"
    assert refused.json() == {
        "error": "Tenant is temporarily paused",
        "status": "paused",
        "message": "Run processing is temporarily suspended. Try again later.",
        "retryAfter": 60,
        "code": "TENANT_PAUSED",
        "receiptId": refused.json()["receiptId"],
        "requestId": "req-42",
    }
    tenant = api.get("/tenants/acme").json()
    assert (tenant["status"], tenant["pause"]["reason"]) == ("paused", "queue_backlog")


@pytest.mark.parametrize("status", ["suspended", "deactivated"])
def test_a_tenant_that_is_gone(api: Api, status: str) -> None:
    change(api, status=status)
    refused = api.submit()

    assert refused.status == 403
    body = refused.json()
    assert list(body) == ["error", "status", "message", "code", "receiptId", "requestId"]
    assert (body["error"], body["status"]) == (f"Tenant is {status}", status)
    assert body["code"] == f"TENANT_{status.upper()}"
    assert "contact support" in body["message"]
    assert "Retry-After" not in refused.headers


def test_another_full_scope(api: Api) -> None:
    for _ in range(2):
        assert api.submit(repo="acme/web").status == 201
    refused = api.submit(repo="acme/web", onLimit="reject")

    assert refused.status == 429
    body = refused.json()
    assert (body["code"], body["scope"]) == ("SCOPE_LIMIT_CONCURRENCY", "repo:acme/acme/web")
    assert (body["currentUsage"], body["limit"]) == (2, 2)
    assert "plan" not in body


def test_skip(api: Api) -> None:
    first = api.submit(onLimit="skip", concurrencyKey="deploy").json()
    refused = api.submit(onLimit="skip", concurrencyKey="deploy")

    assert refused.status == 409
    assert (refused.json()["code"], refused.json()["runId"]) == ("CONCURRENCY_SKIPPED", first["runId"])


def test_cancel_in_progress(api: Api) -> None:
    first = api.submit(onLimit="cancel_in_progress", concurrencyKey="deploy").json()
    second = api.submit(onLimit="cancel_in_progress", concurrencyKey="deploy")

    assert second.status == 201
    assert api.get(f"/tenants/acme/runs/{first['runId']}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"priority": 9}, "PRIORITY_CEILING"), ({"limits": {"memoryBytes": 2**40}}, "NEVER_FITS")],
)
def test_what_never_fits(api: Api, fields: dict, code: str) -> None:
    refused = api.submit(**fields)

    assert (refused.status, refused.json()["code"], refused.json()["retryAfter"]) == (422, code, None)
    assert "Retry-After" not in refused.headers


def test_another_tenant_does_not_exist(api: Api) -> None:
    foreign = api.post("/tenants/big/runs", ECHO, headers={"X-Request-Id": "r"})
    unknown = api.post("/tenants/big0/runs", ECHO, headers={"X-Request-Id": "r"})
    operator = api.post("/tenants/big0/runs", ECHO, key=api.operator, headers={"X-Request-Id": "r"})

    assert foreign.status == unknown.status == 404
    assert foreign.content.replace(b"big", b"big0") == unknown.content == operator.content


# --- what is wrong with a body


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "nope"}, "kind"),
        ({"kind": 7}, "kind"),
        ({"kind": None}, "kind"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": {"command": "rm"}}, "input.command"),
        ({"input": {"command": "echo", "args": [7]}}, "input.args[0]"),
        ({"inputs": {}}, "inputs"),
        ({"limits": {"memory": 1}}, "limits.memory"),
        ({"limits": {"memoryBytes": 0}}, "limits.memoryBytes"),
        ({"limits": {"memoryBytes": 1.5}}, "limits.memoryBytes"),
        ({"limits": {"memoryBytes": "1"}}, "limits.memoryBytes"),
        ({"limits": {"durationSeconds": -1}}, "limits.durationSeconds"),
        ({"limits": {"cpuCores": True}}, "limits.cpuCores"),
        ({"limits": 3}, "limits"),
        ({"repo": "web"}, "repo"),
        ({"repo": "acme/web/x"}, "repo"),
        ({"repo": "acme/we b"}, "repo"),
        ({"repo": "acme/web\n"}, "repo"),
        ({"repo": "acme/" + "x" * 196}, "repo"),
        ({"user": ""}, "user"),
        ({"user": "x" * 201}, "user"),
        ({"user": "a\u0000b"}, "user"),
        ({"user": "a\u202eb"}, "user"),
        ({"priority": 10}, "priority"),
        ({"priority": -1}, "priority"),
        ({"priority": 2.5}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": "urgent"}, "priority"),
        ({"priority": "5"}, "priority"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"labels": {"a": "x" * 257}}, "labels.a"),
        ({"labels": {str(n): "" for n in range(33)}}, "labels"),
        ({"labels": ["a"]}, "labels"),
        ({"onLimit": "wait"}, "onLimit"),
        ({"onLimit": "skip"}, "concurrencyKey"),
        ({"onLimit": "cancel_in_progress"}, "concurrencyKey"),
        ({"concurrencyKey": "x" * 201}, "concurrencyKey"),
        ({"notBefore": "tomorrow"}, "notBefore"),
        ({"notBefore": 1_800_000_000}, "notBefore"),
        ({"notBefore": "2026-02-30T00:00:00Z"}, "notBefore"),
        ({"notBefore": "2026-07-01T00:00:00"}, "notBefore"),
        ({"notBefore": "9999-12-31T23:59:59-23:59"}, "notBefore"),
        ({"notBefore": "2300-01-01T00:00:00Z"}, "notBefore"),
        ({"startBy": "2001-01-01T00:00:00Z"}, "startBy"),
        ({"startBy": "2198-01-01T00:00:00Z", "notBefore": "2199-01-01T00:00:00Z"}, "startBy"),
        ({"not_before": None}, "not_before"),
        ({"x" * 5000: 1}, "x" * 200),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_is_named(shared_api: Api, fields: dict, field: str) -> None:
    answer = shared_api.submit(**fields)

    assert answer.status == 400
    body = answer.json()
    assert list(body) == ["error", "code", "detail", "field", "requestId"]
    assert (body["code"], body["field"]) == ("INVALID_REQUEST", field)
    assert len(body["detail"]) < 1000
    assert runs_of(shared_api) == 0


def hostile(text: str) -> bytes:
    return b'{"kind": "command", "input": {"command": "echo", "args": [' + text.encode() + b"]}}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"kind"',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        json.dumps(ECHO).encode("utf-16"),
        b"kind=command",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        hostile("[" * 70 + "]" * 70),
        hostile("NaN"),
        hostile("-Infinity"),
        hostile("1e999"),
        hostile("9223372036854775808"),
        hostile("1" + "0" * 5000),
        hostile('"\\ud800"'),
        b'{"kind": "command", "input": {"\\udfff": 1}}',
        b'{"kind": "command", "kind": "git", "input": {}}',
        b'{"kind": "command", "input": {"command": "echo"}} x',
        b'{"kind": "command", "input": {"command": "e\x00cho"}}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_no_body_breaks_it(shared_api: Api, body: bytes) -> None:
    answer = shared_api.post("/tenants/acme/runs", body)

    assert answer.status == 400, answer.content[:300]
    assert answer.json()["code"] == "INVALID_REQUEST"
    assert runs_of(shared_api) == 0


def test_an_input_of_half_a_mebibyte_fits_and_a_byte_more_does_not(api: Api) -> None:
    empty = len(json.dumps({"text": ""}, separators=(",", ":")))
    most = 512 * 1024 - empty

    fits = api.submit(kind="stage", input={"text": "x" * most})
    above = api.submit(kind="stage", input={"text": "x" * (most + 1)})
    accents = json.dumps({"kind": "stage", "input": {"text": "\u00e9" * (most // 2)}}, ensure_ascii=False)
    wide = api.post("/tenants/acme/runs", accents.encode())

    assert (fits.status, wide.status) == (201, 201)
    stored = api.system.deps.store.get(Run, wide.json()["runId"])
    assert stored is not None
    assert len(stored.input.encode()) <= 512 * 1024  # in UTF-8, as it was measured
    assert (above.status, above.json()["code"], above.json()["field"]) == (413, "BODY_TOO_LARGE", "input")


def test_a_body_above_a_mebibyte(api: Api) -> None:
    answer = api.submit(kind="stage", input={}, labels={"a": "x" * 1024 * 1024})

    assert (answer.status, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


def test_a_kind_says_what_is_wrong_with_its_input(api: Api) -> None:
    answer = api.submit(kind="stage", input={"wrong": 1})

    assert (answer.status, answer.json()["field"]) == (400, "input.wrong")


def test_a_bug_shows_nothing_of_the_inside(capfd: pytest.CaptureFixture[str], api: Api) -> None:
    answer = api.submit(kind="stage", input={"bug": 1}, headers={"X-Request-Id": "req-42"})

    assert answer.status == 500
    assert (answer.json()["code"], answer.json()["requestId"]) == ("INTERNAL", "req-42")
    assert b"house" not in answer.content
    assert "the inside of the house" in capfd.readouterr().err
