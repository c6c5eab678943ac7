"""…/keys: issued once, listed without secrets, revoked; owners and operators only; a plan's members are counted."""

from __future__ import annotations

import pytest

from headgate.core.access import Role
from tests.services.served import Api, key_of

KEYS = "/tenants/small/keys"


def test_a_key_is_shown_once_and_works_until_it_is_revoked(api: Api) -> None:
    issued = api.post(KEYS, {"name": "ci", "role": "DEVELOPER"}, key=api.operator)
    assert issued.status == 201
    key = issued.json()
    assert api.get("/tenants/small", key=key["apiKey"]).status == 200
    listed = api.get(KEYS, key=api.operator).json()["items"]
    assert [(one["name"], one["revokedAt"]) for one in listed if one["keyId"] == key["keyId"]] == [("ci", None)]
    assert all("apiKey" not in one for one in listed)
    revoked = api.ask("DELETE", f"{KEYS}?keyId={key['keyId']}", key=api.operator).json()
    assert revoked["revokedAt"] is not None
    [record] = api.get("/admin/audit-log?action=key.revoked", key=api.operator).json()["items"]
    assert record["subject"] == f"key:{key['keyId']}"


def test_a_personal_key_is_its_user(api: Api) -> None:
    key = api.post(KEYS, {"name": "ada", "role": "DEVELOPER", "user": "ada"}, key=api.operator).json()["apiKey"]
    run = api.post("/tenants/small/runs", {"kind": "command", "input": {"command": "true"}}, key=key).json()
    assert run["user"] == "ada"


def test_members_are_bounded_by_the_plan(api: Api) -> None:
    for number in range(3):
        body = {"name": f"m{number}", "role": "VIEWER", "user": f"user-{number}"}
        assert api.post(KEYS, body, key=api.operator).status == 201
    answer = api.post(KEYS, {"name": "m3", "role": "VIEWER", "user": "user-3"}, key=api.operator)
    told = answer.json()
    assert (answer.status, told["code"], told["currentUsage"], told["limit"]) == (403, "PLAN_LIMIT_MEMBERS", 3, 3)
    assert api.post(KEYS, {"name": "bot", "role": "VIEWER"}, key=api.operator).status == 201  # a service is no member


@pytest.mark.parametrize(
    ("body", "field"),
    [({"role": "VIEWER"}, "name"), ({"name": "x", "role": "OPERATOR"}, "role"), ({"name": "", "role": "OWNER"}, "name"),
     ({"name": "x", "role": "OWNER", "user": "a\nb"}, "user"), ({"name": "x", "role": "OWNER", "more": 1}, "more")],
)  # fmt: skip
def test_bad_bodies_name_the_field(api: Api, body: dict[str, object], field: str) -> None:
    answer = api.post(KEYS, body, key=api.operator)
    assert (answer.status, answer.json()["field"]) == (400, field)


def test_who_may(api: Api) -> None:
    for role, status in ((Role.OWNER, 200), (Role.ADMIN, 403), (Role.VIEWER, 403)):
        assert api.get("/tenants/acme/keys", key=key_of(api.system, "acme", role)).status == status
    assert api.get(KEYS, key=key_of(api.system, "acme", Role.OWNER)).status == 404
    foreign = api.post(KEYS, {"name": "x", "role": "VIEWER"}, key=api.operator).json()["keyId"]
    owner = key_of(api.system, "acme", Role.OWNER)
    assert api.ask("DELETE", f"/tenants/acme/keys?keyId={foreign}", key=owner).status == 404
    assert api.ask("DELETE", "/tenants/acme/keys", key=owner).json()["field"] == "keyId"
