"""Limits, what-if and the audit log over HTTP: shapes, permissions, and bad input that is named."""

from __future__ import annotations

import pytest

from headgate.api.changes import told
from headgate.core.access import Role
from headgate.flow.sweep import sweep
from tests.services.served import Api, key_of

FAR = "2199-01-01T00:00:00.000Z"


def put(api: Api, scope: str, limit: int | None, **more: object) -> dict:
    body = {"scope": scope, "limit": limit, "reason": "incident 7", **more}
    answer = api.ask("PUT", "/admin/limits", body, key=api.operator)
    assert answer.status == 200, answer.content
    [limited] = answer.json()["limits"]
    return limited


def test_an_operator_sets_and_takes_back(api: Api) -> None:
    limited = put(api, "tenant:acme", 2, until=FAR)
    assert list(limited) == ["scope", "base", "override", "effective", "used"]
    assert list(limited["override"]) == ["limit", "by", "reason", "since", "until"]
    assert (limited["base"], limited["effective"], limited["used"]) == (5, 2, 0)
    assert (limited["override"]["limit"], limited["override"]["until"]) == (2, FAR)
    assert limited["override"]["by"].startswith("key_")
    assert [api.submit().status for _ in range(3)] == [201, 201, 429]
    assert api.get("/tenants/acme").json()["limits"]["concurrent"] == 2
    seen = {one["scope"]: one for one in api.get("/admin/limits", key=api.operator).json()["limits"]}
    assert {"system", "kind:command", "kind:git", "line:system", "tenant:acme", "tenant:big"} <= set(seen)
    assert seen["tenant:acme"] == limited | {"used": 2}
    assert (seen["system"]["used"], seen["kind:command"]["base"]) == (2, None)
    assert put(api, "tenant:acme", None)["override"] is None
    assert api.submit().status == 201


def test_a_tenant_lowers_and_raises_its_own(api: Api) -> None:
    path = "/tenants/acme/limits"
    for scope, limit in (("repo:acme/o/n", 4), ("user:acme/ada", 1), ("org:acme/o", 2), ("tenant:acme", 3)):
        answer = api.ask("PUT", path, {"scope": scope, "limit": limit, "reason": "ours"})
        assert answer.json()["limits"][0]["effective"] == limit
    assert {one["scope"] for one in api.get(path).json()["limits"]} == {
        "tenant:acme", "repo:acme/o/n", "user:acme/ada", "org:acme/o"
    }  # fmt: skip
    over = api.ask("PUT", path, {"scope": "tenant:acme", "limit": 6, "reason": "more"})
    assert (over.status, over.json()["field"]) == (403, "limit")
    assert "at most 5" in over.json()["detail"]
    put(api, "tenant:acme", 1)
    assert api.ask("PUT", path, {"scope": "tenant:acme", "limit": None, "reason": "undo"}).status == 403


@pytest.mark.parametrize(
    ("method", "path", "role", "status"),
    [
        ("GET", "/admin/limits", Role.OWNER, 403),
        ("PUT", "/admin/limits", Role.OWNER, 403),
        ("POST", "/admin/limits/what-if", Role.OWNER, 403),
        ("GET", "/admin/audit-log", Role.OWNER, 403),
        ("GET", "/tenants/acme/limits", Role.VIEWER, 200),
        ("PUT", "/tenants/acme/limits", Role.DEVELOPER, 403),
        ("PUT", "/tenants/acme/limits", Role.ADMIN, 200),
        ("GET", "/tenants/acme/audit-log", Role.DEVELOPER, 403),
        ("GET", "/tenants/acme/audit-log", Role.ADMIN, 200),
        ("GET", "/tenants/big/limits", Role.OWNER, 404),
        ("PUT", "/tenants/big/limits", Role.OWNER, 404),
        ("GET", "/tenants/big/audit-log", Role.OWNER, 404),
    ],
)
def test_who_may(api: Api, method: str, path: str, role: Role, status: int) -> None:
    body = {"scope": "tenant:acme", "limit": 4, "reason": "x"} if method == "PUT" else {} if method == "POST" else None
    assert api.ask(method, path, body, key=key_of(api.system, "acme", role)).status == status


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "system", "limit": -1, "reason": "x"}, "limit"),
        ({"scope": "system", "limit": 1.5, "reason": "x"}, "limit"),
        ({"scope": "system", "limit": 10**10, "reason": "x"}, "limit"),
        ({"scope": "system", "limit": True, "reason": "x"}, "limit"),
        ({"scope": "system", "limit": "5", "reason": "x"}, "limit"),
        ({"scope": "system", "reason": "x"}, "limit"),
        ({"scope": "system", "limit": 5}, "reason"),
        ({"scope": "system", "limit": 5, "reason": ""}, "reason"),
        ({"scope": "system", "limit": 5, "reason": "x\u0007"}, "reason"),
        ({"scope": "system", "limit": 5, "reason": "x", "until": "soon"}, "until"),
        ({"scope": "system", "limit": 5, "reason": "x", "until": "2001-01-01T00:00:00Z"}, "until"),
        ({"scope": "system", "limit": None, "reason": "x", "until": FAR}, "until"),
        ({"scope": "kind:none", "limit": 5, "reason": "x"}, "scope"),
        ({"scope": "line:tenant/acme", "limit": 5, "reason": "x"}, "scope"),
        ({"scope": "line:user/acme/ada", "limit": 5, "reason": "x"}, "scope"),
        ({"scope": "", "limit": 5, "reason": "x"}, "scope"),
        ({"scope": "system", "limit": 5, "reason": "x", "who": "me"}, "who"),
    ],
)
def test_a_wrong_field_is_named(shared_api: Api, body: dict, field: str) -> None:
    answer = shared_api.ask("PUT", "/admin/limits", body, key=shared_api.operator)
    assert (answer.status, answer.json()["field"]) == (400, field), answer.content


def test_a_tenant_that_is_not_there(shared_api: Api) -> None:
    body = {"scope": "tenant:nobody", "limit": 5, "reason": "x"}
    assert shared_api.ask("PUT", "/admin/limits", body, key=shared_api.operator).status == 404
    own = shared_api.ask("PUT", "/tenants/acme/limits", {"scope": "system", "limit": 5, "reason": "x"})
    assert (own.status, own.json()["field"]) == (400, "scope")


# --- the audit log


def test_the_audit_log(api: Api) -> None:
    put(api, "tenant:acme", 2)
    put(api, "system", 40)
    headers = {"X-Request-Id": "req-9"}
    body = {"scope": "tenant:acme", "limit": None, "reason": "over"}
    api.ask("PUT", "/admin/limits", body, key=api.operator, headers=headers)
    found = api.get("/admin/audit-log?action=limit.set", key=api.operator).json()
    assert [record["subject"] for record in found["items"]] == ["system", "tenant:acme"]
    [record] = api.get("/tenants/acme/audit-log?action=limit.reset").json()["items"]
    assert list(record) == [
        "id", "at", "actor", "action", "subject", "tenant", "before", "after", "reason", "requestId"
    ]  # fmt: skip
    assert (record["before"]["limit"], record["after"]["limit"]) == (2, 5)
    assert (record["reason"], record["requestId"], record["tenant"]) == ("over", "req-9", "acme")
    own = api.get("/tenants/acme/audit-log").json()["items"]
    assert {one["tenant"] for one in own} == {"acme"}
    assert {one["action"] for one in own} == {"key.issued", "limit.set", "limit.reset"}


def test_a_change_is_told_like_everything_else(api: Api) -> None:
    """Times in RFC 3339 and keys in camelCase; what stands as a key, a scope, is not touched."""
    body = {"scope": "tenant:acme", "limit": 2, "until": "2199-01-01T00:00:00Z", "reason": "x"}
    api.ask("PUT", "/admin/limits", body, key=api.operator)
    api.post("/tenants/acme/pause", {"reason": "x", "mode": "hold"})
    limit, pause = (
        api.get(f"/tenants/acme/audit-log?action={action}").json()["items"][0]["after"]
        for action in ("limit.set", "pause")
    )
    assert limit["until"] == "2199-01-01T00:00:00.000Z"
    assert str(pause["since"]).endswith("Z")
    assert pause["until"] is None
    kept = {"drained_at": 0, "revokedAt": None, "user:a_b": 3, "capped_at": True, "ready": [{"next_at": 1}], "at": "x"}
    assert told(kept) == {
        "drainedAt": "1970-01-01T00:00:00.000Z", "revokedAt": None, "user:a_b": 3, "cappedAt": True,
        "ready": [{"nextAt": "1970-01-01T00:00:00.001Z"}], "at": "x",
    }  # fmt: skip


def test_the_audit_log_is_paged(api: Api) -> None:
    for limit in range(1, 6):
        put(api, "system", limit)
    path = "/admin/audit-log?subject=system&limit=2"
    first = api.get(path, key=api.operator).json()
    second = api.get(f"{path}&cursor={first['nextCursor']}", key=api.operator).json()
    third = api.get(f"{path}&cursor={second['nextCursor']}", key=api.operator).json()
    found = [one["after"]["limit"] for page in (first, second, third) for one in page["items"]]
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert third["nextCursor"] is None
    actor = first["items"][0]["actor"]
    both = f"/admin/audit-log?actor={actor}&action=limit.set&since=2001-01-01T00:00:00Z"
    assert len(api.get(both, key=api.operator).json()["items"]) == 5
    for query, field in (("since=soon", "since"), ("cursor=x", "cursor"), ("limit=0", "limit"), ("who=me", "who")):
        answer = api.get(f"/admin/audit-log?{query}", key=api.operator)
        assert (answer.status, answer.json()["field"]) == (400, field)


# --- what-if


def test_what_if_over_http(api: Api) -> None:
    assert [api.submit().status for _ in range(6)] == [201] * 5 + [429]
    body = {"limits": {"tenant:acme": 3, "system": 40, "user": 2}, "since": "2001-01-01T00:00:00Z"}
    found = api.post("/admin/limits/what-if", body, key=api.operator).json()
    assert (found["receipts"], found["agreeing"]) == (6, 6)
    [acme] = found["tenants"]
    assert acme["now"] == acme["recorded"]
    assert (acme["now"]["admitted"], acme["now"]["refused"]) == (5, 1)
    assert (acme["then"]["admitted"], acme["then"]["refused"]) == (3, 3)
    assert found["leftOut"]
    whole = {"policy": "plans: {pro: {concurrent: 4}}\n", "since": "2001-01-01T00:00:00Z", "tenant": "acme"}
    found = api.post("/admin/limits/what-if", whole, key=api.operator).json()
    assert found["tenants"][0]["then"]["admitted"] == 4
    assert api.get("/tenants/acme").json()["limits"]["concurrent"] == 5, "nothing was changed"


SINCE = "2001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"since": SINCE}, "limits"),
        ({"limits": {}, "policy": "x: 1", "since": SINCE}, "limits"),
        ({"limits": {"system": -1}, "since": SINCE}, "limits.system"),
        ({"limits": {"nonsense": 1}, "since": SINCE}, "limits.nonsense"),
        ({"limits": {}, "since": FAR}, "since"),
        ({"limits": {}}, "since"),
        ({"policy": "limits: {sistem: 3}", "since": SINCE}, "policy"),
        ({"policy": "[", "since": SINCE}, "policy"),
    ],
)
def test_a_wrong_question_is_named(shared_api: Api, body: dict, field: str) -> None:
    answer = shared_api.post("/admin/limits/what-if", body, key=shared_api.operator)
    assert (answer.status, answer.json()["field"]) == (400, field), answer.content


def test_an_expired_limit_is_gone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the store's own clock: the sweep of a later moment takes it back."""
    put(api, "system", 3, until=FAR)
    deps = api.system.deps
    sweep(deps, api.system.dispatcher)
    seen = {one["scope"]: one for one in api.get("/admin/limits", key=api.operator).json()["limits"]}
    assert seen["system"]["effective"] == 3
