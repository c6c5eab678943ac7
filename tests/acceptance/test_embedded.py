"""The walk of the README, with real processes: submit, refuse, sync a repository, kill -9 and start again."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, running_server, wait_for_end

SLEEP = {"kind": "command", "input": {"command": "sleep", "args": ["3"]}}
ECHO = {"kind": "command", "input": {"command": "echo", "args": ["hello"]}}


def repository(folder: Path) -> Path:
    """A small git repository."""
    folder.mkdir(parents=True)
    for command in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def nothing_held(server: Server) -> None:
    with server.client(None) as operator:
        slots = operator.get("/admin/slots").raise_for_status().json()["scopes"]
        assert [s for s in slots if s["used"]] == []
        assert operator.post("/admin/audit", json={}).raise_for_status().json()["violations"] == []


def test_the_walk(tmp_path: Path) -> None:
    roots = tmp_path / "repos"
    repo = repository(roots / "one")
    with running_server(tmp_path / "data", {"HEADGATE_LOCAL_REPOS": str(roots)}) as server:
        with server.client() as client:
            started = [client.post("/tenants/pro-demo/runs", json=SLEEP) for _ in range(5)]
            assert [answer.status_code for answer in started] == [201] * 5
            refused = client.post("/tenants/pro-demo/runs", json=SLEEP)
            assert refused.status_code == 429
            assert refused.headers["Retry-After"] == str(refused.json()["retryAfter"])
            body = {k: v for k, v in refused.json().items() if k not in ("receiptId", "requestId", "retryAfter")}
            assert body == {
                "error": "Concurrency limit exceeded",
                "reason": "Concurrent run limit reached (5 concurrent runs on Pro plan). "
                "Wait for existing runs to complete.",
                "currentUsage": 5,
                "limit": 5,
                "plan": "pro",
                "code": "PLAN_LIMIT_CONCURRENCY",
            }
            receipt = client.get(f"/tenants/pro-demo/receipts/{refused.json()['receiptId']}").raise_for_status().json()
            assert (receipt["outcome"], receipt["binding"]) == ("refuse", "tenant:pro-demo")
            for answer in started:
                assert wait_for_end(client, "pro-demo", answer.json()["runId"])["state"] == "completed"
            run = client.post("/tenants/pro-demo/runs", json={"kind": "git", "input": {"url": str(repo)}}).json()
            ended = wait_for_end(client, "pro-demo", run["runId"])
            assert ended["state"] == "completed", ended
            assert {a["name"] for a in ended["artifacts"]} == {"repo.bundle", "summary.json"}
            summary = client.get(f"/tenants/pro-demo/runs/{run['runId']}/artifacts/summary.json").raise_for_status()
            head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True)
            assert json.loads(summary.content)["head"] == head.stdout.strip()
        nothing_held(server)
        assert server.stop() == 0


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    queued = {**SLEEP, "onLimit": "queue"}
    with server.client() as client:
        ids = [client.post("/tenants/pro-demo/runs", json=queued).json()["runId"] for _ in range(12)]
        states = {client.get(f"/tenants/pro-demo/runs/{run}").json()["state"] for run in ids}
        assert states >= {"running", "queued"}
    server.kill()
    leftover = subprocess.run(["pgrep", "-f", "sleep 3$"], capture_output=True, text=True).stdout.split()
    again = Server(tmp_path / "data", port=server.port).start()
    began = time.monotonic()
    try:
        with again.client() as client:
            ended = [wait_for_end(client, "pro-demo", run, 90) for run in ids]
            assert {run["state"] for run in ended} == {"completed"}
            assert {run["attempt"] for run in ended} == {1, 2}
        print(f"\nall ended {time.monotonic() - began:.1f} s after the start; children that outlived it: {leftover}")
        nothing_held(again)
    finally:
        again.stop()


@pytest.mark.parametrize(("tenant", "cap"), [("free-demo", 1), ("pro-demo", 5), ("enterprise-demo", 20)])
def test_200_at_once_admit_exactly_the_cap(tmp_path: Path, tenant: str, cap: int) -> None:
    with running_server(tmp_path / "data") as server, server.client(tenant) as client:
        long = {"kind": "command", "input": {"command": "sleep", "args": ["30"]}}
        took: list[float] = []

        def submit(n: int) -> int:
            began = time.monotonic()
            answer = httpx.post(f"{server.url}/tenants/{tenant}/runs", json=long, headers=client.headers, timeout=60)
            took.append(time.monotonic() - began)
            return answer.status_code

        with ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(submit, range(200)))
        assert sorted(set(statuses)) == [201, 429]
        assert statuses.count(201) == cap
        took.sort()
        print(f"\n{tenant}: p50 {took[100] * 1000:.0f} ms, p99 {took[197] * 1000:.0f} ms")


def test_a_second_server_on_the_same_data_says_so(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        second = Server(tmp_path / "data")
        with pytest.raises(AssertionError, match="Another headgate is running"):
            second.start()
        assert server.process is not None
        assert server.process.poll() is None


def test_a_wrong_setting_stops_the_start_with_its_name_and_the_remedy(tmp_path: Path) -> None:
    wrong = Server(tmp_path / "data", {"HEADGATE_STORE": "postgres"})
    (tmp_path / "data").mkdir()
    with pytest.raises(AssertionError, match="HEADGATE_STORE"):
        wrong.start()
    assert wrong.process is not None
    assert wrong.process.returncode == 2


def test_sigterm_hands_the_run_back(tmp_path: Path) -> None:
    long = {"kind": "command", "input": {"command": "sleep", "args": ["60"]}}
    server = Server(tmp_path / "data").start()
    with server.client() as client:
        run = client.post("/tenants/pro-demo/runs", json=long).json()["runId"]
        time.sleep(1)
    assert server.stop() == 0
    again = Server(tmp_path / "data", port=server.port).start()
    try:
        with again.client() as client:
            after = client.get(f"/tenants/pro-demo/runs/{run}").json()
            assert (after["attempt"], after["state"] in ("pending", "running")) == (1, True)
            client.post(f"/tenants/pro-demo/runs/{run}/cancel").raise_for_status()
            assert wait_for_end(client, "pro-demo", run)["state"] == "cancelled"
        nothing_held(again)
    finally:
        again.stop()


def test_a_delayed_run_starts_at_its_moment(tmp_path: Path) -> None:
    """The sweep of this server comes once a minute: it is the alarm that starts the run."""
    with running_server(tmp_path / "data", {"HEADGATE_SWEEP_SECONDS": "60"}) as server, server.client() as client:
        moment = datetime.now(UTC) + timedelta(seconds=2)
        asked = {**ECHO, "notBefore": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        run = wait_for_end(client, "pro-demo", client.post("/tenants/pro-demo/runs", json=asked).json()["runId"], 20)
        late = datetime.fromisoformat(run["startedAt"]) - moment
        assert timedelta(0) <= late < timedelta(seconds=5)


def test_what_cannot_be_used_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = Server(tmp_path / "file" / "data")
    wrong._log = tmp_path / "log"
    with pytest.raises(AssertionError, match=r'HEADGATE_DATA="[^"]*": Not a directory; give a folder'):
        wrong.start(cwd=tmp_path)
    assert wrong.process is not None
    assert wrong.process.returncode == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = Server(tmp_path / "data", port=taken.getsockname()[1])
        with pytest.raises(AssertionError, match=r'PORT="\d+" on 127.0.0.1: Address already in use; set PORT'):
            busy.start()
        assert busy.process is not None
        assert busy.process.returncode == 2


@pytest.mark.parametrize("end", ["sigterm", "kill"])
def test_a_start_with_more_room_executes_what_waited_and_takes_none_of_it_away(tmp_path: Path, end: str) -> None:
    """The raised cap makes the start itself publish: nothing of that may begin before its clean-up and reclaim."""

    def policy(cap: int) -> None:
        (tmp_path / "policy.yaml").write_text(f"plans:\n  pro: {{concurrent: {cap}}}\nwhenFull: {{tenant: queue}}\n")

    policy(1)
    environment = {"HEADGATE_POLICY": str(tmp_path / "policy.yaml")}
    server = Server(tmp_path / "data", environment).start()
    with server.client() as client:
        ids = [client.post("/tenants/pro-demo/runs", json=SLEEP).raise_for_status().json()["runId"] for _ in range(12)]
        begun = {run for run in ids if client.get(f"/tenants/pro-demo/runs/{run}").json()["state"] != "queued"}
    if end == "kill":
        server.kill()
    else:
        server.stop()
    policy(10)
    again = Server(tmp_path / "data", environment, port=server.port).start()
    try:
        with again.client() as client:
            ended = [wait_for_end(client, "pro-demo", run, 90) for run in ids]
        assert {(run["state"], run["attempt"]) for run in ended if run["runId"] not in begun} == {("completed", 1)}
        assert {run["state"] for run in ended} == {"completed"}
        nothing_held(again)
    finally:
        again.stop()


def test_what_was_dug_by_runs_that_were_killed_stops_no_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        place = (data / "place").read_text()
    left = Path(tempfile.gettempdir()) / f"headgate-{place}"
    (left / "run_1").mkdir(parents=True)
    code = "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", code], cwd=left / "run_1", check=True)
    with running_server(data) as server, server.client() as client:
        assert not (left / "run_1").exists()
        run = client.post("/tenants/pro-demo/runs", json=ECHO).json()["runId"]
        assert wait_for_end(client, "pro-demo", run)["state"] == "completed"
    assert not left.exists()


def test_what_it_stores_is_closed_to_other_users(tmp_path: Path) -> None:
    """A folder that was there before keeps its rights, and the start warns; what is in it is closed all the same."""
    made, found = tmp_path / "made", tmp_path / "found"
    found.mkdir()
    found.chmod(0o755)
    for data in (made, found):
        with running_server(data) as server:
            rights = {path.name: path.stat().st_mode & 0o077 for path in data.glob("headgate.db*")}
            assert {"headgate.db", "headgate.db-wal", "headgate.db-shm"} <= set(rights)
            assert set(rights.values()) == {0}
            assert data.stat().st_mode & 0o777 == (0o700 if data is made else 0o755)
            assert ("start.data_open" in server.log()) == (data is found)
