"""Who may ask: keys, what is wrong with them, and what needs none."""

from __future__ import annotations

import dataclasses
import re

import httpx
import pytest

from headgate.api import create_api
from headgate.api.operations import OPERATIONS
from headgate.core.access import ApiKey, Role
from headgate.core.errors import Unauthenticated
from headgate.store.transaction import Tx
from headgate.web import auth
from headgate.web.auth import PUBLIC, Authenticator
from headgate.wiring import System
from tests.services.served import Api, Server, hold_against_document, key_of


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return round(self.now * 1000)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def random(self) -> float:
        return 0.5


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_key_is_its_tenant_role_and_user(system: System) -> None:
    asks = Authenticator(system.deps.store, Clock())

    owner = asks.authenticate(bearer(key_of(system, "acme")))
    member = asks.authenticate(bearer(key_of(system, "acme", Role.VIEWER, user="ada")))
    operator = asks.authenticate(bearer(key_of(system, None)))

    assert (owner.tenant, owner.role, owner.user) == ("acme", Role.OWNER, None)
    assert (member.tenant, member.role, member.user) == ("acme", Role.VIEWER, "ada")
    assert (operator.tenant, operator.role) == (None, Role.OPERATOR)


def wrong_headers(token: str) -> list[dict[str, str]]:
    other = token[:-1] + ("a" if token[-1] != "a" else "b")
    return [
        {},
        {"authorization": ""},
        {"authorization": token},
        {"authorization": f"Basic {token}"},
        {"authorization": f"Bearer {token} {token}"},
        {"authorization": f"Bearer {token}, Bearer {token}"},
        bearer(other),
        bearer(token.replace("hg_", "hg_a")),
        bearer("hg__"),
        bearer("hg_" + "0" * 20 + "_" + "x" * 43),
        bearer("hg_" + "0" * 20 + "_" + "x" * 100_000),
        bearer("hg_\u00e9\u00e9_\u00fc"),
        bearer(token + "\ud800"),
        bearer("../../keys"),
        bearer("\x00"),
    ]


def test_whatever_is_wrong_with_it_is_the_same_401(system: System) -> None:
    asks = Authenticator(system.deps.store, Clock())
    for headers in wrong_headers(key_of(system, "acme")):
        with pytest.raises(Unauthenticated):
            asks.authenticate(headers)


def test_the_scheme_may_be_written_in_any_case(system: System) -> None:
    asks = Authenticator(system.deps.store, Clock())

    assert asks.authenticate({"authorization": f"bearer  {key_of(system, 'acme')}"}).tenant == "acme"


def test_a_revoked_key_is_found_out_within_half_a_minute(system: System) -> None:
    clock = Clock()
    asks = Authenticator(system.deps.store, clock)
    token = key_of(system, "acme")
    key = asks.authenticate(bearer(token)).credential

    def revoke(tx: Tx) -> None:
        found = tx.get(ApiKey, key)
        assert found is not None
        tx.put(dataclasses.replace(found, revoked_at=tx.now))

    system.deps.store.transact(revoke, f"key:{key}")
    assert asks.authenticate(bearer(token)).tenant == "acme"  # this process has not looked again yet

    clock.now += auth.FRESH_SECONDS
    with pytest.raises(Unauthenticated):
        asks.authenticate(bearer(token))


def test_so_many_keys_are_kept_and_no_more(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MOST_KEPT", 3)
    asks = Authenticator(system.deps.store, Clock())
    for token in [key_of(system, "acme") for _ in range(5)]:
        asks.authenticate(bearer(token))

    assert len(asks._kept) == 3


def test_every_operation_but_the_public_ones_needs_a_key(server: Server) -> None:
    assert {"/healthz", "/readyz", "/openapi.json", "/pubsub/push"} == PUBLIC
    app = create_api(server.system)
    rules = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    assert {rule for _, rule in rules} == {re.sub(r"{(\w+)}", r"<\1>", o.path) for o in OPERATIONS}

    with httpx.Client(base_url=server.url, trust_env=False) as stranger:
        for method, rule in sorted(rules):
            path = re.sub("<.*?>", "x", rule)
            answer = stranger.request(method, path)
            assert answer.status_code == (200 if rule in PUBLIC else 401), (method, rule)
            if rule not in PUBLIC:
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="headgate"'
            if method != "HEAD":
                media = answer.headers["Content-Type"]
                hold_against_document(method, path, answer.status_code, media, answer.content)


@pytest.mark.parametrize("token", ["", "hg_x_y", "\u00ff\u00fe", "x" * 20_000])
def test_a_bad_key_is_a_401_on_the_wire(api: Api, token: str) -> None:
    answer = api.get("/tenants", key=token)

    assert answer.status == 401
    assert answer.json()["code"] == "UNAUTHENTICATED"


def test_roles(api: Api) -> None:
    viewer = key_of(api.system, "acme", Role.VIEWER)
    body = {"kind": "command", "input": {"command": "true"}}

    assert api.get("/tenants/acme/runs", key=viewer).status == 200
    assert api.post("/tenants/acme/runs", body, key=viewer).status == 403
    assert api.post("/tenants/acme/runs/x/cancel", key=viewer).status == 403
    assert api.get("/admin/slots", key=viewer).status == 403
    assert api.post("/admin/audit").status == 403


def test_a_personal_key_is_its_user(api: Api) -> None:
    ada = key_of(api.system, "acme", Role.DEVELOPER, user="ada")
    body = {"kind": "command", "input": {"command": "true"}}

    assert api.post("/tenants/acme/runs", body, key=ada).json()["user"] == "ada"
    other = api.post("/tenants/acme/runs", {**body, "user": "bob"}, key=ada)
    assert (other.status, other.json()["field"]) == (400, "user")
