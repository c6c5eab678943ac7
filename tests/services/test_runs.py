"""Looking at runs, and cancelling them."""

from __future__ import annotations

import pytest

from headgate.api import cursors
from headgate.core.errors import InvalidRequest
from headgate.wiring import System
from tests.services.served import Api, Stage, eventually


def test_a_list_goes_on_where_it_stopped(api: Api) -> None:
    made = [api.submit("big").json()["runId"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.get(f"/tenants/big/runs?limit=2{cursor}", key="big").json()
        seen += [run["runId"] for run in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"

    assert sorted(seen) == sorted(made)
    assert len(seen) == len(set(seen))


def test_filters(api: Api) -> None:
    web = api.submit(repo="acme/web", user="ada", priority="high").json()["runId"]
    late = api.submit(notBefore="2199-01-01T00:00:00Z").json()["runId"]

    def found(query: str) -> list[str]:
        return [run["runId"] for run in api.get(f"/tenants/acme/runs?{query}").json()["items"]]

    assert found("repo=acme/web") == found("user=ada") == found("state=pending") == [web]
    assert found("state=queued") == [late]
    assert found("kind=git") == []
    assert set(found("kind=command")) == {web, late}
    assert found("org=acme") == found("priority=7") == found("priority=high") == [web]
    assert found("org=other") == found("priority=0") == []
    assert found("priority=normal") == [late]
    assert found("kind=command&repo=acme/web&org=acme&user=ada&state=pending&priority=7") == [web]


def test_queued_runs_in_a_list_have_their_line(api: Api) -> None:
    for _ in range(5):
        api.submit()
    for number in range(10):
        api.submit(onLimit="queue", priority=number % 3)
    api.submit(notBefore="2199-01-01T00:00:00Z")

    for query in ("", "?state=queued", "?state=queued&limit=3"):  # many places in line, and few
        for run in api.get(f"/tenants/acme/runs{query}").json()["items"]:
            assert ("line" in run) is (run["state"] == "queued")
            alone = api.get(f"/tenants/acme/runs/{run['runId']}").json()
            waits = [found["line"].pop("estimatedWait") for found in (run, alone) if "line" in found]
            assert run == alone
            assert not waits or (waits[0] is None) is (waits[1] is None)  # it shrinks as time goes by


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=e30", "cursor"),
        ("state=done", "state"),
        ("priority=10", "priority"),
        ("priority=-1", "priority"),
        ("priority=07", "priority"),
        ("priority=", "priority"),
        ("priority=High", "priority"),
        ("sort=up", "sort"),
        ("State=queued", "State"),
    ],
)
def test_a_bad_parameter_is_named(shared_api: Api, query: str, field: str) -> None:
    answer = shared_api.get(f"/tenants/acme/runs?{query}")

    assert (answer.status, answer.json()["field"]) == (400, field)


def test_cursors() -> None:
    assert cursors.decoded(cursors.encoded(17, "run_x"), int, str) == (17, "run_x")
    for wrong in (
        cursors.encoded("17", "x"),
        cursors.encoded(-1, "x"),
        cursors.encoded(2**63, "x"),
        "W10",
        "\u00e9",
        "W" * 9999,
    ):
        with pytest.raises(InvalidRequest):
            cursors.decoded(wrong, int, str)


def test_unknown_and_foreign_answer_alike(api: Api) -> None:
    theirs = api.submit("big").json()["runId"]
    request_id = {"X-Request-Id": "r"}
    for path in ("", "/events", "/log"):
        foreign = api.get(f"/tenants/acme/runs/{theirs}{path}", headers=request_id)
        unknown = api.get(f"/tenants/acme/runs/run_none{path}", headers=request_id)
        elsewhere = api.get(f"/tenants/big/runs/{theirs}{path}", headers=request_id)
        nowhere = api.get(f"/tenants/none/runs/{theirs}{path}", headers=request_id)

        assert foreign.status == unknown.status == elsewhere.status == nowhere.status == 404
        assert foreign.content == elsewhere.content == nowhere.content
        assert foreign.content.replace(theirs.encode(), b"run_none") == unknown.content
    foreign = api.post(f"/tenants/acme/runs/{theirs}/cancel", headers=request_id)
    assert foreign.content == api.post(f"/tenants/none/runs/{theirs}/cancel", headers=request_id).content
    assert api.get(f"/tenants/big/runs/{theirs}", key="big").json()["state"] == "pending"
    for path in ("/tenants/big", "/tenants/none"):
        assert api.get(path).status == 404
    receipts = [api.get(f"/tenants/{t}/receipts/{theirs}.1", headers=request_id) for t in ("acme", "big", "none")]
    assert {answer.status for answer in receipts} == {404}
    assert len({answer.content for answer in receipts}) == 1


@pytest.mark.parametrize("name", ["..", ".", "%00", "a%0ab", "__x__%20", "x" * 129, "%ff", "%F0%9F%92%A9"])
def test_an_impossible_id_is_a_404(shared_api: Api, name: str) -> None:
    for path in (f"/tenants/acme/runs/{name}", f"/tenants/{name}/runs", f"/tenants/acme/receipts/{name}"):
        assert shared_api.get(path, key=shared_api.operator).status == 404
    assert shared_api.post(f"/tenants/acme/runs/{name}/cancel").status == 404


def test_cancel_works_in_every_state_and_twice(api: Api) -> None:
    pending = api.submit().json()["runId"]
    late = api.submit(notBefore="2199-01-01T00:00:00Z").json()["runId"]
    bodies: list[object] = [None, {}, b" "]
    for run_id in (pending, late):
        for body in bodies:
            cancelled = api.post(f"/tenants/acme/runs/{run_id}/cancel", body)
            assert cancelled.status == 200
            assert cancelled.json()["state"] == "cancelled"
            assert cancelled.json()["finishedAt"].endswith("Z")
            assert "line" not in cancelled.json()

    refused = api.post(f"/tenants/acme/runs/{pending}/cancel", {"why": "x"})
    assert (refused.status, refused.json()["field"]) == (400, "why")
    assert api.get("/tenants/acme").json()["inFlight"] == 0


def test_events_as_json(api: Api) -> None:
    run_id = api.submit().json()["runId"]
    api.post(f"/tenants/acme/runs/{run_id}/cancel")

    found = api.get(f"/tenants/acme/runs/{run_id}/events").json()
    rest = api.get(f"/tenants/acme/runs/{run_id}/events?after=1").json()

    assert [(e["seq"], e["type"]) for e in found["items"]] == [(1, "run.pending"), (2, "run.finished")]
    assert found["items"][1]["data"] == {"state": "cancelled", "attempt": 1, "fence": 1}
    assert found["nextCursor"] is None
    assert rest["items"] == found["items"][1:]
    assert api.get(f"/tenants/acme/runs/{run_id}/events?after=-1").json()["field"] == "after"


def test_events_as_json_come_in_pages(working: System, stage: Stage) -> None:
    api = Api(working)
    path = f"/tenants/acme/runs/{api.submit(kind='stage', input={}).json()['runId']}"
    job = stage.jobs.get(timeout=10)
    for number in range(3):
        job.log(f"{number}\n".encode())
        assert eventually(lambda n=number: len(api.get(f"{path}/log").content) == 2 * (n + 1))  # type: ignore[misc]  # a default
    stage.over.set()
    assert eventually(lambda: api.get(path).json()["state"] == "completed")

    whole = api.get(f"{path}/events").json()
    first = api.get(f"{path}/events?limit=2").json()
    rest = api.get(f"{path}/events?limit=4&cursor={first['nextCursor']}").json()
    begun_later = api.get(f"{path}/events?limit=1&after=1").json()

    assert [event["seq"] for event in whole["items"]] == [1, 2, 3, 4, 5, 6]
    assert first["items"] == whole["items"][:2]
    assert rest["items"] == whole["items"][2:]
    assert (whole["nextCursor"], rest["nextCursor"]) == (None, None)
    assert begun_later["items"] == whole["items"][1:2]
    for query, field in (("limit=0", "limit"), ("limit=201", "limit"), ("cursor=x", "cursor"), ("seq=1", "seq")):
        refused = api.get(f"{path}/events?{query}")
        assert (refused.status, refused.json()["field"]) == (400, field)


def test_the_log_of_a_run_that_said_nothing(api: Api) -> None:
    run_id = api.submit().json()["runId"]

    answer = api.get(f"/tenants/acme/runs/{run_id}/log")

    assert (answer.status, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert api.get(f"/tenants/acme/runs/{run_id}/log?follow=perhaps").json()["field"] == "follow"


def test_the_receipt_of_an_accepted_run(api: Api) -> None:
    run = api.submit(headers={"X-Request-Id": "req-42"}).json()

    receipt = api.get(f"/tenants/acme/receipts/{run['receiptId']}").json()

    assert list(receipt) == [
        "receiptId", "at", "outcome", "code", "scopes", "binding", "mode", "tenantStatus", "pressure",
        "policyVersion", "retryAt", "runId", "requestId", "count",
    ]  # fmt: skip
    assert (receipt["outcome"], receipt["runId"], receipt["requestId"]) == ("admit", run["runId"], "req-42")
    assert receipt["scopes"][0] == {"scope": "tenant:acme", "used": 0, "limit": 5, "full": False}
    assert receipt["at"].endswith("Z")
