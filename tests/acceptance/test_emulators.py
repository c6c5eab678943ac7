"""The same walk on Firestore and Pub/Sub: both emulators, a real push subscription, the same code."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.server import Server, running_server, wait_for_end

ECHO = {"kind": "command", "input": {"command": "echo", "args": ["hello"]}}


def settings(firestore: str, pubsub: str, project: str) -> dict[str, str]:
    return {
        "HEADGATE_STORE": "firestore",
        "HEADGATE_DELIVERY": "pubsub",
        "HEADGATE_PUSH_AUTH": "none",
        "FIRESTORE_EMULATOR_HOST": firestore,
        "PUBSUB_EMULATOR_HOST": pubsub,
        "GOOGLE_CLOUD_PROJECT": project,
    }


def test_the_walk(tmp_path: Path, firestore_emulator: str, pubsub_emulator: str, project_id: str) -> None:
    environment = settings(firestore_emulator, pubsub_emulator, project_id)
    with running_server(tmp_path / "data", environment) as server, server.client() as client:
        runs = [client.post("/tenants/pro-demo/runs", json={**ECHO, "onLimit": "queue"}) for _ in range(8)]
        assert {answer.status_code for answer in runs} <= {201, 202}
        for answer in runs:
            assert wait_for_end(client, "pro-demo", answer.json()["runId"])["state"] == "completed"
        nothing_held(server)


def test_the_limit_holds(tmp_path: Path, firestore_emulator: str, pubsub_emulator: str, project_id: str) -> None:
    environment = settings(firestore_emulator, pubsub_emulator, project_id)
    sleep = {"kind": "command", "input": {"command": "sleep", "args": ["2"]}}
    with running_server(tmp_path / "data", environment) as server, server.client("free-demo") as client:
        first = client.post("/tenants/free-demo/runs", json=sleep)
        second = client.post("/tenants/free-demo/runs", json=sleep)
        assert (first.status_code, second.status_code) == (201, 429)
        assert second.json()["code"] == "PLAN_LIMIT_CONCURRENCY"
        assert wait_for_end(client, "free-demo", first.json()["runId"])["state"] == "completed"


def test_kill_9_loses_nothing(tmp_path: Path, firestore_emulator: str, pubsub_emulator: str, project_id: str) -> None:
    """The lease of the killed worker runs out, the sweep puts the run back, and it ends."""
    environment = settings(firestore_emulator, pubsub_emulator, project_id) | {
        "HEADGATE_LEASE_SECONDS": "3",
        "HEADGATE_HEARTBEAT_SECONDS": "1",
        "HEADGATE_SWEEP_SECONDS": "1",
    }
    sleep = {"kind": "command", "input": {"command": "sleep", "args": ["2"]}, "onLimit": "queue"}
    server = Server(tmp_path / "data", environment).start()
    with server.client() as client:
        ids = [client.post("/tenants/pro-demo/runs", json=sleep).json()["runId"] for _ in range(6)]
        time.sleep(1)
    server.kill()
    again = Server(tmp_path / "data", environment, port=server.port).start()
    try:
        with again.client() as client:
            assert {wait_for_end(client, "pro-demo", run, 120)["state"] for run in ids} == {"completed"}
        nothing_held(again)
    finally:
        again.stop()


def nothing_held(server: Server) -> None:
    with server.client(None) as operator:
        slots = operator.get("/admin/slots").raise_for_status().json()["scopes"]
        assert [s for s in slots if s["used"]] == []
        assert operator.post("/admin/audit", json={}).raise_for_status().json()["violations"] == []


def test_sigterm_hands_the_run_back(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str, project_id: str
) -> None:
    environment = settings(firestore_emulator, pubsub_emulator, project_id)
    long = {"kind": "command", "input": {"command": "sleep", "args": ["60"]}}
    server = Server(tmp_path / "data", environment).start()
    with server.client() as client:
        run = client.post("/tenants/pro-demo/runs", json=long).json()["runId"]
        for _ in range(100):
            if client.get(f"/tenants/pro-demo/runs/{run}").json()["state"] == "running":
                break
            time.sleep(0.1)
    began = time.monotonic()
    assert server.stop() == 0
    print(f"\nstopped after {time.monotonic() - began:.1f} s")
    again = Server(tmp_path / "data", environment, port=server.port).start()
    try:
        with again.client() as client:
            after = client.get(f"/tenants/pro-demo/runs/{run}").json()
            assert after["attempt"] == 1
            assert after["state"] in ("pending", "running")
            client.post(f"/tenants/pro-demo/runs/{run}/cancel").raise_for_status()
            assert wait_for_end(client, "pro-demo", run)["state"] == "cancelled"
        nothing_held(again)
    finally:
        again.stop()
