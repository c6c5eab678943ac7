"""Store or broker dead behind a real `headgate up`: prompt 503s, a truthful /readyz, no pile of threads, recovery by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from headgate.verify.proxy import Fault, Proxy
from tests.support.server import Server, running_server, wait_for_end

ECHO = {"kind": "command", "input": {"command": "echo", "args": ["hello"]}, "onLimit": "queue"}
RUNS = "/tenants/enterprise-demo/runs"
TENANT = "enterprise-demo"
WAVE = 12
ANSWERS_WITHIN = 3.0
RECOVERS_WITHIN = 30.0
CROWDED = 1.0
"""Seconds more that a client of a busy test machine may wait for its answer."""


@dataclass
class Outside:
    """A server, and the network to its store and its broker."""

    server: Server
    client: httpx.Client
    store: Proxy
    broker: Proxy

    def submit(self) -> tuple[float, httpx.Response]:
        began = time.monotonic()
        answer = self.client.post(RUNS, json=ECHO)
        return time.monotonic() - began, answer

    def wave(self) -> list[tuple[float, httpx.Response]]:
        with ThreadPoolExecutor(WAVE) as crowd:
            return list(crowd.map(lambda _: self.submit(), range(WAVE)))

    def live(self) -> int:
        """Runs that have not ended."""
        states = ("queued", "pending", "running")
        return sum(len(self.client.get(RUNS, params={"state": state}).json()["items"]) for state in states)

    def ready(self) -> dict[str, str]:
        answer = httpx.get(f"{self.server.url}/readyz", timeout=10)
        checks: dict[str, str] = answer.json()["checks"]
        assert (answer.status_code == 200) == (set(checks.values()) == {"ok"})
        assert answer.status_code == 200 or int(answer.headers["Retry-After"]) > 0
        return checks

    def threads(self) -> int:
        assert self.server.process is not None
        return len(list(Path(f"/proc/{self.server.process.pid}/task").iterdir()))

    def works_again(self) -> float:
        """Seconds until a new run has been accepted and has ended."""
        began = time.monotonic()
        while True:
            _, answer = self.submit()
            if answer.status_code in (201, 202):
                wait_for_end(self.client, TENANT, answer.json()["runId"], RECOVERS_WITHIN)
                return time.monotonic() - began
            assert time.monotonic() - began < RECOVERS_WITHIN, answer.text


@pytest.fixture(scope="module")
def outside(
    tmp_path_factory: pytest.TempPathFactory, firestore_emulator: str, pubsub_emulator: str
) -> Iterator[Outside]:
    with ExitStack() as stack:
        store, broker = (stack.enter_context(Proxy(host)) for host in (firestore_emulator, pubsub_emulator))
        environment = {
            "HEADGATE_STORE": "firestore",
            "HEADGATE_DELIVERY": "pubsub",
            "HEADGATE_PUSH_AUTH": "none",
            "HEADGATE_SWEEP_SECONDS": "2",
            "FIRESTORE_EMULATOR_HOST": store.host,
            "PUBSUB_EMULATOR_HOST": broker.host,
            "GOOGLE_CLOUD_PROJECT": f"test-outage-{time.monotonic_ns()}",
        }
        data = tmp_path_factory.mktemp("outage") / "data"
        server = stack.enter_context(running_server(data, environment))
        client = stack.enter_context(server.client(TENANT))
        yield Outside(server, client, store, broker)


@pytest.mark.parametrize("fault", [Fault.BLACK_HOLE, Fault.REFUSE])
def test_the_store_is_dead(outside: Outside, fault: Fault) -> None:
    outside.works_again()
    outside.store.set(fault)
    answers = outside.wave()
    threads = outside.threads()
    answers += outside.wave()
    assert {answer.status_code for _, answer in answers} == {503}, [answer.text for _, answer in answers]
    assert all(int(answer.headers["Retry-After"]) > 0 for _, answer in answers)
    slowest = max(seconds for seconds, _ in answers)
    assert slowest < ANSWERS_WITHIN + CROWDED
    assert outside.ready() == {"store": "down", "delivery": "ok"}
    assert outside.threads() <= threads + 3, "threads pile up"
    outside.store.set(Fault.NONE)
    took = outside.works_again()
    assert outside.ready() == {"store": "ok", "delivery": "ok"}
    print(f"\n{fault}: slowest answer {slowest:.2f} s, worked again after {took:.1f} s")


@pytest.mark.parametrize("fault", [Fault.BLACK_HOLE, Fault.REFUSE])
def test_the_broker_is_dead(outside: Outside, fault: Fault) -> None:
    """Nobody is accepted whose message nobody takes: prompt 503s, nothing live is left, and it recovers by itself."""
    outside.works_again()
    outside.broker.set(fault)
    answers = outside.wave()
    threads = outside.threads()
    answers += outside.wave()
    assert max(seconds for seconds, _ in answers) < ANSWERS_WITHIN + CROWDED
    assert {answer.status_code for _, answer in answers} == {503}, [answer.text for _, answer in answers]
    assert {answer.json()["code"] for _, answer in answers} == {"BROKER_UNAVAILABLE"}
    assert all(int(answer.headers["Retry-After"]) > 0 for _, answer in answers)
    assert outside.ready() == {"store": "ok", "delivery": "down"}
    assert outside.threads() <= threads + 3, "threads pile up"
    outside.broker.set(Fault.NONE)
    took = outside.works_again()
    assert outside.live() == 0
    assert outside.ready() == {"store": "ok", "delivery": "ok"}
    print(f"\n{fault}: slowest answer {max(s for s, _ in answers):.2f} s, worked again after {took:.1f} s")
