"""GET /metrics: for operators, or for this machine where a setting says so. Nobody else, by no header."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from headgate.core.errors import Unavailable
from headgate.telemetry.exposition import CONTENT_TYPE
from headgate.telemetry.metrics import COUNTERS, DISTRIBUTIONS, GAUGES
from headgate.web.auth import PUBLIC
from headgate.wiring import System
from tests.services.served import Api, Server, Stage, build_system

LINE = re.compile(r'(# (HELP|TYPE) headgate_\w+ .+|headgate_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? -?[0-9.e+-]+)')


def test_for_operators(api: Api) -> None:
    api.submit()
    found = api.get("/metrics", key=api.operator)
    assert (found.status, found.headers["Content-Type"]) == (200, CONTENT_TYPE)
    lines = found.content.decode().splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert 'headgate_slots_in_use{scope="system"} 1' in lines
    assert 'headgate_decisions_total{action="run.admitted",reason=""} 1' in lines
    known = {f"headgate_{m.name}" for m in (*GAUGES, *COUNTERS, *DISTRIBUTIONS)}
    assert {line.split()[2].removesuffix("_total") for line in lines if line.startswith("# TYPE")} <= known
    assert "acme" not in found.content.decode()


def test_for_nobody_else(api: Api) -> None:
    assert api.get("/metrics").status == 403
    assert api.get("/metrics", key=None).status == 401
    assert "/metrics" not in PUBLIC


@pytest.mark.parametrize(("setting", "status"), [("operators", 401), ("local", 200)])
def test_a_setting_opens_it_to_this_machine(tmp_path: Path, setting: str, status: int) -> None:
    system = build_system(tmp_path, Stage(), HEADGATE_METRICS=setting)
    with Server(system) as server, httpx.Client(base_url=server.url, trust_env=False) as stranger:
        assert stranger.get("/metrics").status_code == status
        assert stranger.get("/tenants").status_code == 401  # that and nothing else
        for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip"):
            assert stranger.get("/metrics", headers={header: "127.0.0.1"}).status_code == 401
    system.close()


def test_local_is_not_from_elsewhere(tmp_path: Path) -> None:
    system = build_system(tmp_path, Stage(), HEADGATE_METRICS="local")
    client = Api(system).app.test_client()
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "127.0.0.1"}).status_code == 200
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "10.0.0.7"}).status_code == 401
    system.close()


def test_the_counters_are_told_while_the_store_is_away(
    api: Api, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just then they are wanted; gauges that are not known are not there."""

    def away(*_: object) -> None:
        raise Unavailable("The store does not answer.")

    assert api.get("/tenants", key=api.operator).status == 200  # the key is known from now on
    monkeypatch.setattr(system.deps.store, "every", away)
    found = api.get("/metrics", key=api.operator)
    lines = found.content.decode().splitlines()
    assert found.status == 200
    assert 'headgate_store_errors_total{action="metrics.unavailable",reason="STORE_UNAVAILABLE"} 1' in lines
    assert not any("headgate_runs{" in line for line in lines)
