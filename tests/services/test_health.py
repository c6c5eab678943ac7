"""Probes answer whatever the store does: without a thread of the API, and within three seconds."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from headgate.web import health
from headgate.web.front import THREADS
from headgate.wiring import System
from tests.services.served import Server, Stage, build_system, eventually, hold_against_document


def probe(client: httpx.Client, path: str) -> httpx.Response:
    """The answer, held against the document."""
    answer = client.get(path)
    hold_against_document("GET", path, answer.status_code, answer.headers["Content-Type"], answer.content)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


@contextmanager
def nobody_can_write(system: System) -> Iterator[None]:
    """What another process does that hangs with the store's lock in its hand."""
    with (system.settings.data / "headgate.db.lock").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_ready(tmp_path: Path) -> None:
    system = build_system(tmp_path, Stage(), HEADGATE_STORE_OUTAGE_SECONDS="0.5")
    with Server(system) as server, server.client() as client:
        ready = probe(client, "/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert ready.json()["checks"] == {"store": "ok", "delivery": "ok"}

        with nobody_can_write(system):
            assert client.get("/tenants/acme").status_code == 200  # readers never wait
            started = time.monotonic()
            unready = probe(client, "/readyz")
            submitted = client.post("/tenants/acme/runs", json={"kind": "command", "input": {"command": "true"}})
            assert time.monotonic() - started < 6
            assert probe(client, "/healthz").json() == {"status": "ok"}

        assert (unready.status_code, unready.json()["status"]) == (503, "unready")
        assert unready.json()["checks"] == {"store": "down", "delivery": "ok"}
        assert int(unready.headers["Retry-After"]) > 0
        assert (submitted.status_code, submitted.json()["code"]) == (503, "STORE_UNAVAILABLE")
        assert list(submitted.json()) == ["error", "code", "detail", "field", "requestId"]
        assert int(submitted.headers["Retry-After"]) > 0

        assert eventually(lambda: client.get("/readyz").status_code == 200)
        system.delivery.close()
        assert probe(client, "/readyz").json()["checks"] == {"store": "ok", "delivery": "down"}
    system.close()


def test_probes_take_no_parameters(server: Server) -> None:
    with server.client("hg_no_key") as client:
        for path in ("/healthz", "/readyz"):
            answer = probe(client, f"{path}?verbose=1")
            assert (answer.status_code, answer.json()["field"]) == (400, "verbose")


class Silent:
    """A store that answers nothing until it is told to, in place of the real one's ping and reads."""

    def __init__(self, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
        self.over = threading.Event()
        self.pings = 0
        self.reads = threading.Semaphore(0)
        monkeypatch.setattr(system.deps.store, "ping", self._ping)
        monkeypatch.setattr(system.deps.store, "get_all", self._get_all)

    def _ping(self) -> None:
        self.pings += 1
        assert self.over.wait(30)

    def _get_all(self, cls: object, ids: list[str]) -> list[None]:
        self.reads.release()
        assert self.over.wait(30)
        return [None] * len(ids)


def test_probes_wait_for_nobody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread of the API is held by a silent store, and more requests wait behind."""
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.5)
    silent = Silent(server.system, monkeypatch)
    waiting = THREADS + 4
    with ThreadPoolExecutor(waiting) as crowd, ThreadPoolExecutor(6) as probes, server.client() as client:
        asked = [crowd.submit(httpx.get, f"{server.url}/tenants", headers=key(n), timeout=20) for n in range(waiting)]
        for _ in range(THREADS):
            assert silent.reads.acquire(timeout=10)

        started = time.monotonic()
        assert probe(client, "/healthz").status_code == 200
        assert time.monotonic() - started < 0.5
        unready = list(probes.map(httpx.get, [f"{server.url}/readyz"] * 6))
        took = time.monotonic() - started

        silent.over.set()
        assert {found.result().status_code for found in asked} == {401}

    assert {answer.status_code for answer in unready} == {503}
    assert unready[0].json()["checks"] == {"store": "down", "delivery": "ok"}
    assert took < 2.5  # together, not one after the other
    assert silent.pings == 1


def key(number: int) -> dict[str, str]:
    """A credential that looks like one and must be looked up."""
    return {"Authorization": f"Bearer hg_nobody{number}_x"}
