"""The doors of the switches: who may, what is said, what is wrong, and that each leaves its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headgate.core.access import Role
from headgate.flow import sweep
from headgate.store.documents import AuditRecord, where
from headgate.wiring import System
from tests.services.served import Api, build_system, key_of

LATER = "2199-01-01T00:00:00Z"
PAUSE = {"reason": "queue_backlog"}


def switched(api: Api) -> list[AuditRecord]:
    """What the switches recorded, in order."""
    found = api.system.deps.store.query(AuditRecord, where(AuditRecord, order=("at",)))
    return [record for record in found if not record.action.startswith("key.")]


def records(api: Api) -> list[tuple[str, str, str]]:
    return [(record.action, record.subject, record.reason) for record in switched(api)]


@pytest.fixture
def keys(api: Api) -> dict[str, str]:
    """A key of acme for each role, of another tenant's owner, and of an operator."""
    roles = {str(role): key_of(api.system, "acme", role) for role in Role if role is not Role.OPERATOR}
    return {**roles, "OPERATOR": api.operator, "foreign": api.keys["big"]}


# --- a tenant


def test_pause_and_resume_a_tenant(api: Api) -> None:
    run = api.submit().json()
    asked = {"reason": "queue_backlog", "mode": "hold", "until": LATER, "ticket": "INC-7"}
    paused = api.post("/tenants/acme/pause", asked, headers={"X-Request-Id": "req-9"})
    assert paused.status == 200
    pause = paused.json()["pause"]
    assert paused.json()["status"] == "paused"
    assert pause | {"since": None, "by": None} == {
        "state": "paused", "mode": "hold", "reason": "queue_backlog", "by": None, "since": None,
        "until": "2199-01-01T00:00:00.000Z", "ticket": "INC-7",
    }  # fmt: skip
    assert pause["by"].startswith("key_")
    assert api.get(f"/tenants/acme/runs/{run['runId']}").json()["state"] == "queued"
    assert api.get("/tenants/acme").json() == paused.json()
    assert api.submit().status == 202

    resumed = api.post("/tenants/acme/resume", {"reason": "over"})
    assert (resumed.status, resumed.json()["status"], resumed.json()["pause"]) == (200, "active", None)
    assert records(api) == [("pause", "tenant:acme", "queue_backlog"), ("resume", "tenant:acme", "over")]
    assert switched(api)[0].request_id == "req-9"


def test_the_body_of_a_pause_may_be_absent(api: Api) -> None:
    assert api.post("/tenants/acme/pause").json()["pause"]["mode"] == "reject"
    assert api.submit().json()["code"] == "TENANT_PAUSED"
    for _ in range(2):
        assert api.post("/tenants/acme/resume").json()["status"] == "active"
    assert api.submit().status == 201


@pytest.mark.parametrize("door", ["pause", "resume"])
@pytest.mark.parametrize(
    ("role", "status"),
    [("VIEWER", 403), ("DEVELOPER", 403), ("ADMIN", 200), ("OWNER", 200), ("OPERATOR", 200), ("foreign", 404)],
)
def test_who_may_pause_a_tenant(api: Api, keys: dict[str, str], door: str, role: str, status: int) -> None:
    assert api.post(f"/tenants/acme/{door}", key=keys[role]).status == status
    assert api.post(f"/tenants/nobody/{door}", key=keys[role]).status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "a\nb"}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"reason": 7}, "reason"),
        ({"mode": "stop"}, "mode"),
        ({"until": "tomorrow"}, "until"),
        ({"until": "2020-01-01T00:00:00Z"}, "until"),
        ({"until": 7}, "until"),
        ({"ticket": ""}, "ticket"),
        ({"scope": "tenant:acme"}, "scope"),
    ],
)
def test_what_is_wrong_with_a_pause(shared_api: Api, body: dict[str, Any], field: str) -> None:
    answer = shared_api.post("/tenants/acme/pause", body)
    assert (answer.status, answer.json()["code"], answer.json()["field"]) == (400, "INVALID_REQUEST", field)
    full = {"scope": "kind:git", "reason": "x", **body}
    if field != "scope":
        answer = shared_api.post("/admin/pauses", full, key=shared_api.operator)
        assert (answer.status, answer.json()["field"]) == (400, field)
    assert shared_api.get("/tenants/acme").json()["status"] == "active"


def test_a_tenants_status(api: Api) -> None:
    run = api.submit().json()
    for status, code, state in (
        ("suspended", "TENANT_SUSPENDED", "queued"),
        ("deactivated", "TENANT_DEACTIVATED", "cancelled"),
    ):
        answer = api.ask("PUT", "/tenants/acme/status", {"status": status, "reason": "unpaid"}, key=api.operator)
        assert (answer.status, answer.json()["status"]) == (200, status)
        assert (api.submit().status, api.submit().json()["code"]) == (403, code)
        assert api.get(f"/tenants/acme/runs/{run['runId']}").json()["state"] == state
    answer = api.ask("PUT", "/tenants/acme/status", {"status": "active", "reason": "paid"}, key=api.operator)
    assert answer.json()["status"] == "active"
    assert api.submit().status == 201
    assert [action for action, *_ in records(api)] == ["status.set"] * 3


@pytest.mark.parametrize(
    ("role", "status"),
    [("VIEWER", 403), ("DEVELOPER", 403), ("ADMIN", 403), ("OWNER", 403), ("OPERATOR", 200), ("foreign", 404)],
)
def test_who_may_set_a_status(api: Api, keys: dict[str, str], role: str, status: int) -> None:
    body = {"status": "active", "reason": "x"}
    assert api.ask("PUT", "/tenants/acme/status", body, key=keys[role]).status == status
    for field, wrong in (("status", {"status": "gone", "reason": "x"}), ("reason", {"status": "active"})):
        answer = api.ask("PUT", "/tenants/acme/status", wrong, key=api.operator)
        assert (answer.status, answer.json()["field"]) == (400, field)


# --- scopes


@pytest.mark.parametrize(
    ("scope", "refused", "asked"),
    [
        ("tenant:acme", "TENANT_PAUSED", {}),
        ("user:acme/ada", "SCOPE_PAUSED", {"user": "ada"}),
        ("org:acme/o", "SCOPE_PAUSED", {"repo": "o/r"}),
        ("repo:acme/o/r", "SCOPE_PAUSED", {"repo": "o/r"}),
        ("kind:command", "SCOPE_PAUSED", {}),
    ],
)
@pytest.mark.parametrize(
    ("mode", "then"),
    [("reject", "queued"), ("hold", "queued"), ("drain", "cancelled"), ("drain_cancel", "cancelled")],
)
def test_every_scope_in_every_mode(
    api: Api, scope: str, refused: str, asked: dict[str, str], mode: str, then: str
) -> None:
    run = api.submit(**asked).json()
    paused = api.post("/admin/pauses", {"scope": scope, "mode": mode, "reason": "bad deploy"}, key=api.operator)
    assert paused.status == 200
    assert {"scope": scope, "mode": mode, "state": "paused", "until": None}.items() <= paused.json().items()
    assert api.get(f"/tenants/acme/runs/{run['runId']}").json()["state"] == then
    answer = api.submit(**asked)
    assert answer.json().get("code") == (None if mode == "hold" else refused)
    assert api.get("/admin/pauses", key=api.operator).json() == {"items": [paused.json()], "nextCursor": None}

    resumed = api.ask("DELETE", f"/admin/pauses?scope={scope}", key=api.operator)
    assert (resumed.status, resumed.json()) == (200, {"scope": scope, "resumed": True})
    again = api.ask("DELETE", f"/admin/pauses?scope={scope}", key=api.operator)
    assert again.json() == {"scope": scope, "resumed": False}
    assert api.get("/admin/pauses", key=api.operator).json()["items"] == []
    assert len(records(api)) == 2


INSIDE = ("tenant:acme", "user:acme/ada", "org:acme/o", "repo:acme/o/r")


@pytest.mark.parametrize("scope", [*INSIDE, "kind:git"])
def test_who_may_pause_a_scope(api: Api, keys: dict[str, str], scope: str) -> None:
    wide = scope == "kind:git"
    allowed = {"OPERATOR"} if wide else {"OPERATOR", "OWNER", "ADMIN"}
    for role, key in keys.items():
        expected = 200 if role in allowed else 404 if role == "foreign" and not wide else 403
        assert api.post("/admin/pauses", {"scope": scope, "reason": "x"}, key=key).status == expected, role
        assert api.ask("DELETE", f"/admin/pauses?scope={scope}", key=key).status == expected, role


def test_a_tenants_key_sees_the_pauses_of_its_own(api: Api, keys: dict[str, str]) -> None:
    for scope in ("kind:git", "tenant:big", *INSIDE):
        assert api.post("/admin/pauses", {"scope": scope, "reason": "x"}, key=api.operator).status == 200

    def seen(key: str) -> list[str]:
        return [one["scope"] for one in api.get("/admin/pauses", key=key).json()["items"]]

    assert seen(api.operator) == [
        "kind:git",
        "org:acme/o",
        "repo:acme/o/r",
        "tenant:acme",
        "tenant:big",
        "user:acme/ada",
    ]
    assert seen(keys["VIEWER"]) == sorted(INSIDE)
    assert seen(keys["foreign"]) == ["tenant:big"]


def test_pauses_are_paged(api: Api) -> None:
    scopes = [f"repo:acme/o/r{n}" for n in range(5)]
    for scope in scopes:
        api.post("/admin/pauses", {"scope": scope, "reason": "x"})
    found: list[str] = []
    cursor = ""
    while True:
        page = api.get(f"/admin/pauses?limit=2{cursor}").json()
        found += [one["scope"] for one in page["items"]]
        assert len(page["items"]) <= 2
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert found == scopes
    assert api.get("/admin/pauses?cursor=x").json()["field"] == "cursor"
    assert api.get("/admin/pauses?limit=0").json()["field"] == "limit"


@pytest.mark.parametrize("scope", ["", "git", "system", "line:system", "repo:acme/o", "tenant:", "kind:a/b", 7, None])
def test_what_is_no_scope(shared_api: Api, scope: object) -> None:
    answer = shared_api.post("/admin/pauses", {"scope": scope, "reason": "x"}, key=shared_api.operator)
    assert (answer.status, answer.json()["field"]) == (400, "scope")
    if isinstance(scope, str):
        answer = shared_api.ask("DELETE", f"/admin/pauses?scope={scope}", key=shared_api.operator)
        assert (answer.status, answer.json()["field"]) == (400, "scope")


def test_what_is_missing(shared_api: Api) -> None:
    operator = shared_api.operator
    assert shared_api.ask("DELETE", "/admin/pauses", key=operator).json()["field"] == "scope"
    assert shared_api.post("/admin/pauses", {"reason": "x"}, key=operator).json()["field"] == "scope"
    assert shared_api.post("/admin/pauses", {"scope": "kind:git"}, key=operator).json()["field"] == "reason"
    for unknown in ("kind:nope", "tenant:nobody", "repo:nobody/o/r"):
        assert shared_api.post("/admin/pauses", {"scope": unknown, "reason": "x"}, key=operator).status == 404


def test_a_timed_pause_survives_a_restart(tmp_path: Path) -> None:
    first = build_system(tmp_path)
    api = Api(first)
    until = first.deps.store.now() + 1500
    from headgate.web.moments import rfc3339

    for scope in ("tenant:acme", "kind:git"):
        asked = {"scope": scope, "reason": "x", "until": rfc3339(until)}
        assert api.post("/admin/pauses", asked, key=api.operator).status == 200
    assert api.post("/admin/pauses", {"scope": "tenant:big", "reason": "x"}, key=api.operator).status == 200
    first.close()

    second = build_system(tmp_path)
    api = Api(second)
    assert api.get("/tenants/acme").json()["status"] == "paused"
    while second.deps.store.now() <= until:
        second.deps.timing.sleep(0.05)
    sweep.sweep(second.deps, second.dispatcher)
    assert [one["scope"] for one in api.get("/admin/pauses", key=api.operator).json()["items"]] == ["tenant:big"]
    assert ("resume", "tenant:acme", "the pause's time is over") in records(api)
    second.close()


# --- the system


def put_mode(api: Api, mode: str, **more: Any) -> Any:
    answer = api.ask("PUT", "/admin/draining", {"mode": mode, **more}, key=api.operator)
    assert answer.status == 200
    return answer.json()


def test_draining(api: Api, system: System) -> None:
    idle = api.get("/admin/draining", key=api.operator).json()
    assert (idle["mode"], idle["since"], idle["progress"]["total"], idle["estimatedSeconds"]) == (
        "normal",
        None,
        0,
        None,
    )
    runs = [api.submit(repo="o/r").json() for _ in range(3)]

    found = put_mode(api, "draining", reason="deploy 42")
    assert list(found) == ["mode", "since", "by", "reason", "progress", "estimatedSeconds", "drainSeconds"]
    assert (found["mode"], found["reason"], found["drainSeconds"]) == ("draining", "deploy 42", None)
    assert found["progress"] == {"total": 3, "finished": 0, "running": 2, "queued": 1}
    refused = api.submit()
    assert (refused.status, refused.json()["code"]) == (503, "SYSTEM_DRAINING")
    assert refused.headers["Retry-After"] == str(refused.json()["retryAfter"])

    for run in runs:
        assert api.post(f"/tenants/acme/runs/{run['runId']}/cancel").status == 200
    found = api.get("/admin/draining", key=api.operator).json()
    assert found["progress"] == {"total": 3, "finished": 3, "running": 0, "queued": 0}
    assert found["estimatedSeconds"] == 0.0
    sweep.sweep(system.deps, system.dispatcher)
    found = put_mode(api, "draining")
    assert found["drainSeconds"] >= 0
    assert put_mode(api, "normal")["mode"] == "normal"
    assert api.submit().status == 201
    assert [action for action, *_ in records(api)] == ["mode.set", "drain.completed", "mode.set"]


def test_maintenance(api: Api) -> None:
    run = api.submit().json()
    assert put_mode(api, "maintenance")["progress"] == {"total": 1, "finished": 0, "running": 0, "queued": 1}
    assert api.get(f"/tenants/acme/runs/{run['runId']}").json()["line"]["waitingFor"][0] == "SYSTEM_MAINTENANCE"
    assert api.submit().json()["code"] == "SYSTEM_MAINTENANCE"
    put_mode(api, "normal")


def test_who_may_drain(api: Api, keys: dict[str, str]) -> None:
    for role, key in keys.items():
        expected = 200 if role == "OPERATOR" else 403
        assert api.get("/admin/draining", key=key).status == expected
        assert api.ask("PUT", "/admin/draining", {"mode": "normal"}, key=key).status == expected


@pytest.mark.parametrize(
    ("body", "field"), [({}, "mode"), ({"mode": "off"}, "mode"), ({"mode": "normal", "reason": ""}, "reason"),
                        ({"mode": "normal", "until": LATER}, "until")]
)  # fmt: skip
def test_what_is_wrong_with_a_mode(shared_api: Api, body: dict[str, Any], field: str) -> None:
    answer = shared_api.ask("PUT", "/admin/draining", body, key=shared_api.operator)
    assert (answer.status, answer.json()["field"]) == (400, field)
