"""Many runs at once, each with an answer of its own; and the retry of one, which there is never twice."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from headgate.core.access import Role
from headgate.core.run import Run
from headgate.flow import cancel_all
from headgate.flow import submit as submit_flow
from headgate.flow.cancel import cancel_run
from headgate.store.documents import where
from headgate.wiring import System
from tests.services.served import ECHO, Api, key_of
from tests.support.threads import all_well, together

BATCH, CANCEL = "/tenants/acme/runs:batch", "/tenants/acme/runs:cancel"


def count(api: Api, tenant: str = "acme") -> int:
    return api.system.deps.store.count(where(Run, ("tenant", "==", tenant)))


def batch(api: Api, *runs: Any, **more: Any) -> list[Any]:
    answer = api.post(BATCH, {"runs": list(runs)}, **more)
    assert answer.status == 200, answer.json()
    items: list[Any] = answer.json()["items"]
    return items


# --- submit many


def test_each_has_an_answer_of_its_own(api: Api) -> None:
    items = batch(
        api,
        ECHO,
        {**ECHO, "onLimit": "queue", "repo": "o/r"},
        {"kind": "nope", "input": {}},
        {"kind": "command"},
        {**ECHO, "priority": 11},
        {**ECHO, "colour": "red"},
        {**ECHO, "input": {"command": "rm"}},
        {**ECHO, "priority": 9},
        {**ECHO, "idempotencyKey": ""},
        *[ECHO] * 4,
    )
    assert [item["status"] for item in items] == [201, 201, 400, 400, 400, 400, 400, 422, 400, 201, 201, 201, 429]
    assert [item["error"]["field"] for item in items[2:7]] == ["kind", "input", "priority", "colour", "input.command"]
    assert items[8]["error"]["field"] == "idempotencyKey"
    assert items[7]["error"]["code"] == "PRIORITY_CEILING"
    assert items[-1]["error"] | {"receiptId": None, "requestId": None} == {
        "error": "Concurrency limit exceeded",
        "reason": "Concurrent run limit reached (5 concurrent runs on Pro plan). Wait for existing runs to complete.",
        "currentUsage": 5, "limit": 5, "plan": "pro", "retryAfter": items[-1]["error"]["retryAfter"],
        "code": "PLAN_LIMIT_CONCURRENCY", "receiptId": None, "requestId": None,
    }  # fmt: skip
    for item in items:
        assert (item["run"] is None) != (item["error"] is None)
    one = api.get(f"/tenants/acme/runs/{items[0]['run']['runId']}").json()
    assert one == items[0]["run"]
    assert count(api) == 5


def test_a_key_per_item(api: Api) -> None:
    keyed = {**ECHO, "idempotencyKey": "k1"}
    first, twin, other, mismatch = batch(api, keyed, keyed, {**ECHO, "idempotencyKey": "k2"}, {**keyed, "repo": "o/r"})
    assert first["run"]["runId"] == twin["run"]["runId"] != other["run"]["runId"]
    assert (mismatch["status"], mismatch["error"]["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    again = batch(api, keyed)[0]
    assert (again["status"], again["run"]["runId"]) == (201, first["run"]["runId"])
    alone = api.submit(headers={"Idempotency-Key": "k1"})
    assert (alone.json()["runId"], alone.headers["Idempotency-Replayed"]) == (first["run"]["runId"], "true")
    assert count(api) == 2


def test_a_hundred_at_once_and_not_one_more(api: Api) -> None:
    queued = {**ECHO, "onLimit": "queue"}
    items = batch(api, *[queued] * 100)
    assert [item["status"] for item in items] == [201] * 5 + [202] * 95
    assert [item["run"]["line"]["position"] for item in items[5:8]] == [1, 2, 3]
    answer = api.post(BATCH, {"runs": [queued] * 101})
    assert (answer.status, answer.json()["field"]) == (400, "runs")


@pytest.mark.parametrize("body", [{}, {"runs": []}, {"runs": {}}, {"runs": [1]}, {"runs": [ECHO], "all": True}])
def test_what_is_wrong_with_a_batch(shared_api: Api, body: dict[str, Any]) -> None:
    answer = shared_api.post(BATCH, body)
    assert answer.status == 400
    assert answer.json()["field"].startswith(("runs", "all"))


@pytest.mark.parametrize("path", [BATCH, CANCEL])
def test_who_may_do_many(api: Api, path: str) -> None:
    bodies: dict[str, Any] = {BATCH: {"runs": [ECHO]}, CANCEL: {"filter": {"state": "queued"}}}
    for role, status in ((Role.VIEWER, 403), (Role.DEVELOPER, 200), (Role.ADMIN, 200), (Role.OWNER, 200)):
        assert api.post(path, bodies[path], key=key_of(api.system, "acme", role)).status == status
    assert api.post(path, bodies[path], key=api.operator).status == 200
    assert api.post(path, bodies[path], key="big").status == 404
    assert api.post(path.replace("acme", "nobody"), bodies[path], key=api.operator).status == 404


# --- cancel many


def test_cancel_by_filter(api: Api) -> None:
    batch(
        api,
        *[{**ECHO, "onLimit": "queue", "repo": "o/r", "user": "ada", "labels": {"team": "web", "x": "1"}}] * 4,
        {**ECHO, "repo": "o/other", "priority": 2, "labels": {"team": "db"}},
        {**ECHO, "onLimit": "queue", "concurrencyKey": "c"},
    )

    def cancelled(**wanted: Any) -> int:
        answer = api.post(CANCEL, {"filter": wanted})
        assert answer.status == 200
        assert answer.json()["cancelled"] == len(answer.json()["runIds"])
        assert answer.json()["more"] is False
        for run_id in answer.json()["runIds"]:
            assert api.get(f"/tenants/acme/runs/{run_id}").json()["state"] == "cancelled"
        return int(answer.json()["cancelled"])

    assert cancelled(repo="o/nothing") == 0
    assert cancelled(kind="command", repo="o/r", state="queued") == 2
    assert cancelled(kind="command", repo="o/r", state="queued") == 0
    assert cancelled(labels={"team": "db"}, user="ada") == 0
    assert cancelled(labels={"team": "db"}) == 1
    assert cancelled(concurrencyKey="c") == 1
    assert cancelled(org="o", user="ada", priority="normal", labels={"team": "web"}) == 2
    assert api.get("/tenants/acme").json()["inFlight"] == 0


def test_a_filter_is_bounded_and_tells_that_there_is_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel_all, "MOST", 30)
    batch(api, *[{**ECHO, "onLimit": "queue"}] * 50)
    seen: set[str] = set()
    for expected, more in ((30, True), (20, False), (0, False)):
        done = api.post(CANCEL, {"filter": {"kind": "command"}}).json()
        assert (done["cancelled"], done["more"]) == (expected, more)
        assert not seen & set(done["runIds"])
        seen |= set(done["runIds"])
    assert len(seen) == 50


def test_another_tenants_runs_are_left_alone(api: Api) -> None:
    mine, others = api.submit().json(), api.submit("big").json()
    assert api.post(CANCEL, {"filter": {"kind": "command"}}).json()["runIds"] == [mine["runId"]]
    assert api.get(f"/tenants/big/runs/{others['runId']}", key="big").json()["state"] == "pending"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "filter"),
        ({"filter": {}}, "filter"),
        ({"filter": None}, "filter"),
        ({"filter": {"state": "completed"}}, "filter.state"),
        ({"filter": {"priority": 10}}, "filter.priority"),
        ({"filter": {"colour": "red"}}, "filter.colour"),
        ({"filter": {"kind": ""}}, "filter.kind"),
        ({"state": "queued"}, None),
    ],
)
def test_what_is_wrong_with_a_filter(shared_api: Api, body: dict[str, Any], field: str | None) -> None:
    answer = shared_api.post(CANCEL, body)
    assert answer.status == 400
    assert field is None or answer.json()["field"] == field


# --- retry


def ended(api: Api, **fields: Any) -> str:
    run_id = str(api.submit(**fields).json()["runId"])
    cancel_run(api.system.deps, "acme", run_id)
    return run_id


def test_a_retry_is_a_new_run_that_asks_for_the_same(api: Api) -> None:
    asked = {"repo": "o/r", "user": "ada", "priority": 3, "labels": {"a": "b"}, "limits": {"durationSeconds": 7}}
    old = api.get(f"/tenants/acme/runs/{ended(api, **asked)}").json()
    answer = api.post(f"/tenants/acme/runs/{old['runId']}/retry", headers={"X-Request-Id": "req-3"})
    assert answer.status == 201
    new = answer.json()
    assert answer.headers["Location"] == f"/tenants/acme/runs/{new['runId']}"
    assert (new["retryOf"], new["state"], new["attempt"]) == (old["runId"], "pending", 1)
    same = ("kind", "input", "repo", "org", "user", "priority", "labels", "limits")
    assert {key: new[key] for key in same} == {key: old[key] for key in same}
    assert old["retryOf"] is None
    assert api.get(f"/tenants/acme/receipts/{new['receiptId']}").json()["requestId"] == "req-3"

    again = api.post(f"/tenants/acme/runs/{old['runId']}/retry")
    assert (again.status, again.json()["runId"], again.json()["receiptId"]) == (201, new["runId"], new["receiptId"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert count(api) == 2


def test_a_retry_that_waited_first_is_answered_202_for_ever(api: Api) -> None:
    old = ended(api, repo="o/r")
    others = [api.submit(repo="o/r").json()["runId"] for _ in range(2)]
    assert api.post(f"/tenants/acme/runs/{old}/retry").status == 202
    cancel_run(api.system.deps, "acme", others[0])
    api.system.dispatcher.dispatch()
    again = api.post(f"/tenants/acme/runs/{old}/retry")
    assert (again.status, again.json()["state"]) == (202, "pending")


def test_many_retries_at_once_make_one_run(api: Api) -> None:
    old = ended(api)
    acts = [partial(api.post, f"/tenants/acme/runs/{old}/retry")] * 12
    answers = all_well(together(acts))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json()["runId"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert count(api) == 2
    assert api.get("/tenants/acme").json()["inFlight"] == 1


def test_control_an_id_of_chance_makes_many(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit_flow, "retry_id", lambda run_id: api.system.deps.ids.new("run"))
    old = ended(api)
    assert len({api.post(f"/tenants/acme/runs/{old}/retry").json()["runId"] for _ in range(3)}) == 3


def test_a_refused_retry_leaves_nothing_and_may_be_said_again(api: Api) -> None:
    old = ended(api)
    running = [api.submit().json()["runId"] for _ in range(5)]
    refused = api.post(f"/tenants/acme/runs/{old}/retry")
    assert (refused.status, refused.json()["code"]) == (429, "PLAN_LIMIT_CONCURRENCY")
    assert count(api) == 6
    assert api.post(f"/tenants/acme/runs/{old}/retry", {"onLimit": "queue"}).status == 202
    for run_id in running:
        cancel_run(api.system.deps, "acme", run_id)


def test_what_cannot_be_retried(api: Api, system: System) -> None:
    live = api.submit().json()["runId"]
    answer = api.post(f"/tenants/acme/runs/{live}/retry")
    assert (answer.status, answer.json()["code"]) == (409, "INVALID_REQUEST")
    assert "pending" in answer.json()["detail"]
    old = ended(api, user="ada")
    assert api.post("/tenants/acme/runs/run_nope/retry").status == 404
    assert api.post(f"/tenants/acme/runs/{old}/retry", key="big").status == 404
    assert api.post(f"/tenants/big/runs/{old}/retry", key="big").status == 404
    assert api.post(f"/tenants/acme/runs/{old}/retry", key=key_of(system, "acme", Role.VIEWER)).status == 403
    bob = key_of(system, "acme", Role.DEVELOPER, user="bob")
    assert api.post(f"/tenants/acme/runs/{old}/retry", key=bob).status == 403
    for wrong in ({"onLimit": "skip"}, {"kind": "git"}):
        assert api.post(f"/tenants/acme/runs/{old}/retry", wrong).status == 400
    assert api.post("/tenants/acme/pause").status == 200
    assert api.post(f"/tenants/acme/runs/{old}/retry").json()["code"] == "TENANT_PAUSED"
    assert count(api) == 2


def test_a_retry_of_a_retry(api: Api) -> None:
    first = ended(api)
    second = api.post(f"/tenants/acme/runs/{first}/retry").json()["runId"]
    cancel_run(api.system.deps, "acme", second)
    third = api.post(f"/tenants/acme/runs/{second}/retry").json()
    assert third["retryOf"] == second
    assert api.post(f"/tenants/acme/runs/{first}/retry").json()["runId"] == second
    assert len({first, second, third["runId"]}) == 3
