"""A tenant's requests go through its bucket: how many, what is said of it, and whom it does not concern."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.api import create_api
from headgate.core.access import Caller, Role
from headgate.flow.receipts import find_receipt
from headgate.web.rates import RequestRates
from tests.services.served import Api, Server, build_system, hold_messages, key_of
from tests.support.world import World

SLOW = "requests: {perSecond: 0.01, burst: 4}\n"
ACME = Caller(credential="key_1", role=Role.OWNER, tenant="acme")
OPERATOR = Caller(credential="key_2", role=Role.OPERATOR)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Api]:
    """Four requests, then one in 100 s: no test waits so long, however busy the machine."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(SLOW)
    system = build_system(tmp_path, HEADGATE_POLICY=str(policy))
    hold_messages(system)
    yield Api(system)
    system.close()


def test_beyond_the_burst_a_tenant_is_refused(slow: Api) -> None:
    answers = [slow.get("/tenants/acme") for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 4 + [429]
    body = answers[-1].json()
    assert list(body) == ["error", "reason", "code", "retryAfter", "receiptId", "requestId"]
    assert body["code"] == "RATE_LIMITED"
    assert 1 <= body["retryAfter"] <= 100
    assert answers[-1].headers["Retry-After"] == str(body["retryAfter"])
    assert slow.get("/tenants/big", key="big").status == 200, "a bucket is of one tenant"
    assert slow.submit().status == 429
    assert slow.post("/tenants/acme/runs", b"nonsense").status == 429, "before anything is looked at"


def test_two_keys_of_a_tenant_share_its_bucket(slow: Api) -> None:
    other = key_of(slow.system, "acme", Role.VIEWER)
    assert [slow.get("/tenants/acme", key=key).status for key in ("acme", other) * 3] == [200] * 4 + [429] * 2


def test_every_answer_says_what_is_left(slow: Api) -> None:
    for left in (3, 2, 1, 0):
        headers = slow.get("/tenants/acme" if left % 2 else "/tenants/acme/runs/none").headers
        assert headers["RateLimit-Policy"] == '"tenant";q=4;w=400'
        assert re.fullmatch(rf'"tenant";r={left};t=\d+', headers["RateLimit"])
    assert slow.get("/tenants/acme").headers["RateLimit"].startswith('"tenant";r=0;')


def test_operators_and_probes_have_no_limit(slow: Api) -> None:
    for _ in range(6):
        answer = slow.get("/tenants", key=slow.operator)
        assert answer.status == 200
        assert "RateLimit" not in answer.headers
        assert slow.get("/openapi.json", key=None).status == 200
        assert slow.get("/tenants", key="hg_wrong_key").status == 401


def test_refusals_of_a_second_share_a_receipt(slow: Api) -> None:
    for _ in range(4):
        slow.get("/tenants/acme")
    ids = {slow.get("/tenants/acme").json()["receiptId"] for _ in range(5)}
    assert len(ids) <= 3  # of five requests in a row; on a busy machine they may take more than a second
    [receipt] = [find_receipt(slow.system.deps, ACME, "acme", one) for one in sorted(ids)][:1]
    assert (receipt["outcome"], receipt["code"], receipt["binding"]) == ("refuse", "RATE_LIMITED", "tenant:acme")


def test_streams_are_counted_and_told_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(SLOW)
    system = build_system(tmp_path, HEADGATE_POLICY=str(policy))
    try:
        with Server(system) as server, server.client() as client:
            run = client.post("/tenants/acme/runs", json={"kind": "command", "input": {"command": "true"}}).json()
            path = f"/tenants/acme/runs/{run['runId']}"
            for left in (2, 1):
                with client.stream("GET", f"{path}/events", headers={"Accept": "text/event-stream"}) as stream:
                    assert stream.status_code == 200
                    assert stream.headers["RateLimit"].startswith(f'"tenant";r={left};')
            with client.stream("GET", f"{path}/log", params={"follow": "true"}) as stream:
                assert stream.headers["RateLimit"].startswith('"tenant";r=0;')
            refused = client.get(f"{path}/log", params={"follow": "true"})
            assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
            assert client.get("/readyz").status_code in (200, 503)
    finally:
        system.close()


# --- the buckets themselves, by a clock that the test moves


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_rate_is_divided_among_the_processes(world: World) -> None:
    whole, tenth = RequestRates(world.deps, 1), RequestRates(world.deps, 10)
    assert whole.take(ACME, "r").headers["RateLimit-Policy"] == '"tenant";q=500;w=5'
    assert whole.take(ACME, "r").headers["RateLimit"] == '"tenant";r=498;t=1'
    passed = [tenth.take(ACME, "r").refusal is None for _ in range(60)]
    assert sum(passed) == 50
    world.clock.forward(1)
    assert sum(tenth.take(ACME, "r").refusal is None for _ in range(60)) == 10


def test_who_waits_as_told_gets_through(world: World) -> None:
    rates = RequestRates(world.deps, 500)
    assert rates.take(ACME, "r").refusal is None
    refusal = rates.take(ACME, "r").refusal
    assert refusal is not None
    assert refusal.retry_after == 5
    world.clock.forward(refusal.retry_after)
    assert rates.take(ACME, "r").refusal is None


def test_a_receipt_tells_how_many_shared_it(world: World) -> None:
    rates = RequestRates(world.deps, 500)
    found = [rates.take(ACME, "r").refusal for _ in range(8)]
    ids = {refusal.receipt_id for refusal in found if refusal is not None}
    assert len(ids) == 1
    world.clock.forward(2)
    rates.take(ACME, "r")
    receipt = find_receipt(world.deps, ACME, "acme", str(ids.pop()))
    assert receipt["count"] == 7
    assert receipt["scopes"] == []


@pytest.mark.parametrize("asks", [ACME, OPERATOR], ids=["the tenant itself", "an operator"])
def test_whoever_asks_next_finds_the_count(world: World, asks: Caller) -> None:
    """54 refusals in a burst and then none: the next request of anybody, as that for the receipt, makes it right."""
    rates = RequestRates(world.deps, 500)
    ids = {taken.refusal.receipt_id for taken in (rates.take(ACME, "r") for _ in range(55)) if taken.refusal}
    [id] = ids
    assert find_receipt(world.deps, ACME, "acme", str(id))["count"] == 1  # the second is not over
    world.clock.forward(10)
    assert rates.take(asks, "r").refusal is None
    assert find_receipt(world.deps, ACME, "acme", str(id))["count"] == 54


def test_if_nobody_settled_it_the_count_would_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(RequestRates, "_settle", lambda rates, now: None)
    rates = RequestRates(world.deps, 500)
    ids = {taken.refusal.receipt_id for taken in (rates.take(ACME, "r") for _ in range(55)) if taken.refusal}
    world.clock.forward(10)
    rates.take(ACME, "r")
    assert find_receipt(world.deps, ACME, "acme", str(ids.pop()))["count"] == 1


def test_many_threads_get_no_more_than_the_burst(world: World) -> None:
    rates = RequestRates(world.deps, 10)
    with ThreadPoolExecutor(8) as pool:
        passed = list(pool.map(lambda _: rates.take(ACME, "r").refusal is None, range(200)))
    assert sum(passed) == 50


def test_every_door_behind_a_key_is_counted(slow: Api) -> None:
    """The negative control of the placing: an app whose bucket is never asked lets everything through."""
    unlimited = RequestRates(slow.system.deps, 1)
    unlimited._per_second, unlimited._burst = 1e9, 1e9
    app = create_api(slow.system, rates=unlimited).test_client()
    headers = {"Authorization": f"Bearer {slow.keys['acme']}"}
    assert {app.get("/tenants/acme", headers=headers).status_code for _ in range(9)} == {200}
