"""Tenants, what operators see, health, and the document."""

from __future__ import annotations

from dataclasses import replace

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from headgate.api.operations import OPERATIONS
from headgate.core.wide import Shard
from headgate.store.documents import AuditRecord
from headgate.store.transaction import Tx
from headgate.wiring import System
from tests.services.served import DOCUMENT, Api


def test_a_tenant(api: Api) -> None:
    api.submit()
    api.submit(notBefore="2199-01-01T00:00:00Z")

    tenant = api.get("/tenants/acme").json()

    assert list(tenant) == ["tenantId", "plan", "status", "pause", "inFlight", "queued", "limits"]
    assert (tenant["tenantId"], tenant["plan"], tenant["status"], tenant["pause"]) == ("acme", "pro", "active", None)
    assert (tenant["inFlight"], tenant["queued"], tenant["limits"]["concurrent"]) == (1, 1, 5)


def test_operators_see_all_tenants_others_their_own(api: Api) -> None:
    first = api.get("/tenants?limit=2", key=api.operator).json()
    rest = api.get(f"/tenants?limit=2&cursor={first['nextCursor']}", key=api.operator).json()

    assert [t["tenantId"] for t in first["items"] + rest["items"]] == ["acme", "big", "small"]
    assert rest["nextCursor"] is None
    assert [t["tenantId"] for t in api.get("/tenants").json()["items"]] == ["acme"]
    assert api.get("/tenants?cursor=x").json()["field"] == "cursor"


def test_who_holds_what(api: Api) -> None:
    run = api.submit(repo="acme/web", user="ada").json()

    slots = api.get("/admin/slots", key=api.operator).json()

    held = {scope["scope"]: scope for scope in slots["scopes"] if scope["used"]}
    assert set(held) == {
        "system", "kind:command", "tenant:acme", "user:acme/ada", "org:acme/acme", "repo:acme/acme/web"
    }  # fmt: skip
    for scope in held.values():
        [holder] = scope["holders"]
        assert holder | {"since": None} == {
            "runId": run["runId"], "fence": 0, "since": None, "leaseUntil": None, "worker": None
        }  # fmt: skip
    assert (held["system"]["limit"], held["repo:acme/acme/web"]["limit"]) == (50, 2)


def test_the_audit_finds_nothing(api: Api) -> None:
    api.submit()
    bodies: list[dict | None] = [None, {}]
    for body in bodies:
        report = api.post("/admin/audit", body, key=api.operator).json()
        assert (report["violations"], report["repaired"]) == ([], [])
        assert report["checked"]["runs"] == 1
    assert api.post("/admin/audit", {"mend": True}, key=api.operator).json()["field"] == "mend"


def leak(system: System) -> None:
    """A holder that no run stands behind."""

    def body(tx: Tx) -> None:
        shard = tx.get(Shard, "system~0")
        assert shard is not None
        tx.put(replace(shard, holders={**shard.holders, "run_ghost": 1}, free=False))

    system.deps.store.transact(body, "damage")


def test_the_audit_repairs_only_when_told_to_and_why(api: Api) -> None:
    leak(api.system)
    for _ in range(2):
        report = api.post("/admin/audit", {"repair": False}, key=api.operator).json()
        assert [found["invariant"] for found in report["violations"]] == ["I2"]
        assert report["repaired"] == []
    assert api.post("/admin/audit", {"repair": True}, key=api.operator).json()["field"] == "reason"
    assert api.post("/admin/audit", {"repair": True, "reason": ""}, key=api.operator).json()["field"] == "reason"

    asked = {"repair": True, "reason": "incident 7"}
    assert api.post("/admin/audit", asked).status == 403
    report = api.post("/admin/audit", asked, key=api.operator, headers={"X-Request-Id": "req-7"}).json()

    assert report["violations"] == []
    [line] = report["repaired"]
    assert "system~0: dropped leaked holder run_ghost" in line
    record = api.system.deps.store.get(AuditRecord, line[line.index("(") + 1 : -1])
    assert record is not None
    assert (record.action, record.reason, record.request_id) == ("books.repaired", "incident 7", "req-7")
    assert record.actor.startswith("key_")
    assert api.post("/admin/audit", asked, key=api.operator).json()["repaired"] == []


# --- routes and document


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/tenants/", "//tenants", "/tenants/acme/", "/healthz/", "/tenants/a/b"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_route(shared_api: Api, method: str, path: str) -> None:
    for key in ("acme", None):
        answer = shared_api.ask(method, path, key=key)
        assert answer.status == 404
        assert answer.json()["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/tenants", {"GET", "HEAD"}),
        ("PUT", "/tenants/acme/runs", {"GET", "HEAD", "POST"}),
        ("GET", "/tenants/acme/runs/x/cancel", {"POST"}),
        ("PATCH", "/healthz", {"GET", "HEAD"}),
        ("BREW", "/healthz", {"GET", "HEAD"}),
        ("OPTIONS", "/tenants/acme/runs", {"GET", "HEAD", "POST"}),
        ("OPTIONS", "/tenants/acme/runs/x/artifacts/y", {"GET", "HEAD"}),
        ("OPTIONS", "/readyz", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method(shared_api: Api, method: str, path: str, allowed: set[str]) -> None:
    for key in ("acme", None):
        answer = shared_api.ask(method, path, key=key)

        assert answer.status == 405
        assert answer.json()["code"] == "METHOD_NOT_ALLOWED"
        assert set(answer.headers["Allow"].split(", ")) == allowed


def test_head_has_no_body(shared_api: Api) -> None:
    for path in ("/tenants/acme", "/openapi.json"):
        answer = shared_api.ask("HEAD", path)
        assert (answer.status, answer.content) == (200, b"")


def test_a_parameter_that_nothing_takes(shared_api: Api) -> None:
    answer = shared_api.get("/openapi.json?verbose=1", key=None)

    assert (answer.status, answer.json()["field"]) == (400, "verbose")


def test_the_document_is_valid_and_complete(shared_api: Api) -> None:
    served = shared_api.get("/openapi.json", key=None).json()

    OpenAPIV31SpecValidator(served).validate()
    assert served == DOCUMENT
    assert sum(len(methods) for methods in served["paths"].values()) == len(OPERATIONS)
    for path, methods in served["paths"].items():
        for operation in methods.values():
            statuses = set(operation["responses"])
            public = operation.get("security") == []
            assert {"400", "413", "408", "500", "503"} <= statuses
            assert public or {"401", "403"} <= statuses
            assert "{" not in path or "404" in statuses
    submit = served["paths"]["/tenants/{tenantId}/runs"]["post"]["responses"]
    assert set(submit) == {
        "201", "202", "400", "401", "403", "404", "408", "409", "413", "422", "429", "500", "503"
    }  # fmt: skip
    assert submit["429"]["content"]["application/json"]["example"]["code"] == "PLAN_LIMIT_CONCURRENCY"
    assert served["components"]["schemas"]["SubmitRequest"]["examples"]
    assert served["components"]["schemas"]["SubmitRequest"]["additionalProperties"] is False
    assert served["components"]["schemas"]["SubmitRequest"]["required"] == ["kind", "input"]
