"""The CLI as a process of its own against a real `headgate up`: what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.support.server import Server

SECONDS = 60
Headgate = Callable[..., Result]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with a commit."""
    folder = tmp_path_factory.mktemp("repos") / "project"
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (
        ["init", "-q", "-b", "main", str(folder)],
        ["-C", str(folder), *identity, "commit", "-q", "--allow-empty", "-m", "One"],
    ):
        subprocess.run(["git", *words], check=True)
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    """The server, with the same data folder for all tests."""
    server = Server(tmp_path_factory.mktemp("real") / "data", {"HEADGATE_LOCAL_REPOS": str(repository.parent)}).start()
    yield server
    server.stop()


def start(real: Server, *arguments: str) -> subprocess.Popen[str]:
    """`headgate` as a process that finds its server through demo.json."""
    command = [sys.executable, "-m", "headgate", *arguments]
    environment = os.environ | {"HEADGATE_DATA": str(real.data)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it still says until it ends. (`communicate` would lose what `readline` has read ahead.)"""
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        out, err = process.stdout.read(), process.stderr.read()
    return out, err


@pytest.fixture
def headgate(real: Server) -> Headgate:
    def run(*arguments: str) -> Result:
        process = start(real, *arguments)
        out, err = process.communicate(timeout=SECONDS)
        return Result(process.returncode, out, err)

    return run


def test_submit_and_wait(headgate):
    result = headgate("submit", "command", "--wait", "--", "echo", "hello")
    assert result.code == 0, result.err
    assert "completed" in result.out
    assert "hello" in result.out
    run_id = result.out.split()[0]
    assert headgate("run", "log", run_id).out == "hello\n"
    assert headgate("run", "log", "--follow", run_id).out == "hello\n"
    assert run_id in headgate("runs", "--state", "completed").out
    assert headgate("run", "watch", run_id).out.splitlines()[-1].endswith("completed")
    show = headgate("--json", "run", "show", run_id).document
    assert (show["state"], show["input"]) == ("completed", {"command": "echo", "args": ["hello"]})
    receipt = headgate("receipt", show["receiptId"], "--json").document
    assert (receipt["outcome"], receipt["runId"]) == ("admit", run_id)
    assert "tenant:pro-demo" in headgate("receipt", show["receiptId"]).out
    assert "completed" in headgate("run", "show", run_id).out


def test_a_run_that_fails(headgate):
    result = headgate("submit", "command", "false", "--wait", "--json")
    assert result.code == 1
    assert (result.document["state"], result.document["error"]["code"]) == ("failed", "EXIT_NONZERO")
    assert headgate("run", "watch", result.document["runId"]).code == 1


def test_a_repository(headgate, repository):
    result = headgate("submit", "git", str(repository), "main", "--wait", "--json")
    assert result.code == 0, result.err
    assert {artifact["name"] for artifact in result.document["artifacts"]} == {"repo.bundle", "summary.json"}
    assert "repo.bundle" in headgate("run", "show", result.document["runId"]).out


def test_the_limit_the_line_and_cancel(real, headgate):
    free = ("--tenant", "free-demo")
    first = headgate("submit", "command", "--json", *free, "--", "sleep", "50").document["runId"]

    refused = headgate("submit", "command", "true", *free)
    assert refused.code == 1
    assert "Concurrent run limit reached (1 concurrent runs on Free plan)" in refused.err
    assert "Try again in" in refused.err
    as_json = headgate("submit", "command", "true", *free, "--json").document
    assert (as_json["code"], as_json["retryAfter"] >= 30) == ("PLAN_LIMIT_CONCURRENCY", True)
    assert "refuse" in headgate("receipt", as_json["receiptId"], *free).out

    queued = headgate("submit", "command", "true", *free, "--on-limit", "queue", "--label", "team=web")
    assert "queued, 1 of 1, waiting for SCOPE_FULL:tenant" in queued.out
    second = queued.out.split()[0]
    assert second in headgate("runs", *free, "--state", "queued").out
    watching = start(real, "run", "watch", second, *free)
    assert watching.stdout is not None
    assert "queued, 1 of 1" in watching.stdout.readline()

    assert "cancelled" in headgate("run", "cancel", first, *free).out
    out, err = rest(watching)
    assert (watching.returncode, err) == (0, "")
    assert out.splitlines()[-1].endswith("completed")


def test_bad_requests(real, cli, monkeypatch):
    monkeypatch.setenv("HEADGATE_DATA", str(real.data))
    unknown = cli("submit", "command", "--", "rm", "-rf")
    assert unknown.code == 2
    assert "field: input.command" in unknown.err
    assert cli("submit", "nothing").code == 2
    assert cli("submit", "command", "true", "--priority", "9").code == 2
    assert cli("submit", "command", "true", "--on-limit", "skip").code == 2
    assert cli("run", "show", "run_none").code == 4
    assert cli("run", "cancel", "run_none").code == 4
    assert cli("receipt", "rcpt_none").code == 4
    assert cli("runs", "--tenant", "nobody").code == 4
    assert cli("runs", "--api-key", "wrong").code == 4
    pro = real.demo()["tenants"]["pro-demo"]["apiKey"]
    assert cli("runs", "--api-key", pro, "--tenant", "free-demo").code == 4
    assert cli("runs", "--api-key", pro).code == 0


def test_every_option_is_understood(headgate):
    result = headgate(
        "submit", "command", "true", "--repo", "acme/web", "--user", "ada", "--priority", "low", "--label", "a=b",
        "--on-limit", "cancel_in_progress", "--concurrency-key", "k", "--memory", "64MB", "--duration", "10s", "--cpu", "1",
        "--not-before", "+10m", "--start-by", "+1h", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    run = result.document
    assert (run["state"], run["line"]["position"], run["priority"], run["user"]) == ("queued", None, 2, "ada")
    assert run["limits"] == {"memoryBytes": 64 * 1024**2, "durationSeconds": 10, "cpuCores": 1}
    assert headgate("run", "cancel", run["runId"]).out.strip() == f"{run['runId']} cancelled"


def test_the_same_key_gives_the_same_run(headgate):
    first, second = (
        headgate("submit", "command", "true", "--idempotency-key", "once", "--json").document for _ in range(2)
    )
    assert first["runId"] == second["runId"]
    assert headgate("submit", "command", "false", "--idempotency-key", "once").code == 2


def test_tenants(headgate):
    listed = headgate("--json", "tenants").document["items"]
    assert [tenant["tenantId"] for tenant in listed] == ["enterprise-demo", "free-demo", "pro-demo"]
    assert [line.split()[:2] for line in headgate("tenants").out.splitlines()[1:]] == [
        ["enterprise-demo", "enterprise"],
        ["free-demo", "free"],
        ["pro-demo", "pro"],
    ]


def test_lists_go_on(real, cli, monkeypatch):
    monkeypatch.setenv("HEADGATE_DATA", str(real.data))
    for _ in range(3):
        assert cli("submit", "command", "true", "--wait").code == 0
    some = cli("runs", "--limit", "2", "--json").document
    assert (len(some["items"]), bool(some["nextCursor"])) == (2, True)
    everything = cli("runs", "--all", "--json").document
    assert len(everything["items"]) > 2
    assert everything["nextCursor"] is None


def test_one_server_for_a_data_folder(real, headgate):
    second = headgate("up", "--port", str(real.port))
    assert second.code == 1
    assert "Another headgate is running" in second.err


def test_up_with_a_wrong_policy(headgate, tmp_path):
    (tmp_path / "policy.yaml").write_text("limits: {system: many}\n")
    result = headgate("up", "--policy", str(tmp_path / "policy.yaml"), "--data", str(tmp_path / "data"))
    assert result.code == 2
    assert "limits.system" in result.err


def test_watch_outlives_the_server(tmp_path):
    """kill -9 while a run is watched, and a new start: every event once, in order, to the end."""
    server = Server(tmp_path / "data").start()
    try:
        submitted = start(server, "--json", "submit", "command", "--", "sleep", "2").communicate(timeout=SECONDS)[0]
        watching = start(server, "--json", "run", "watch", json.loads(submitted)["runId"])
        assert watching.stdout is not None
        first = watching.stdout.readline()
        server.kill()
        server.start()
        out, err = rest(watching)
    finally:
        server.stop()
    events = [json.loads(line) for line in (first + out).splitlines()]
    numbers = [int(event["id"]) for event in events]
    assert numbers == list(range(1, len(numbers) + 1)), events
    assert (events[-1]["type"], events[-1]["data"]["state"], watching.returncode) == ("run.finished", "completed", 0), (
        err
    )


def test_ctrl_c_stops_the_server(tmp_path):
    server = Server(tmp_path / "data").start()
    assert server.process is not None
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=SECONDS) in (0, 130)
    assert "Traceback" not in server.log()
    gone = start(server, "runs")
    assert "headgate up" in gone.communicate(timeout=SECONDS)[1]
    assert gone.returncode == 3
