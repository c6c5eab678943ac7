"""headgate backup and restore: of a real server under load, and back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from headgate.store.backup import examine
from tests.support.server import Server, running_server, wait_for_end

ECHO = {"kind": "command", "input": {"command": "echo", "args": ["hello"]}, "onLimit": "queue"}


def submit(server: Server) -> str:
    with server.client() as client:
        return client.post("/tenants/pro-demo/runs", json=ECHO).raise_for_status().json()["runId"]


@pytest.mark.slow
def test_a_backup_under_load_and_back(cli, tmp_path):
    data, copy = tmp_path / "data", tmp_path / "copy"
    with running_server(data) as server:
        stop, submitted = threading.Event(), []

        def load() -> None:
            while not stop.is_set():
                submitted.append(submit(server))

        first = submit(server)
        loader = threading.Thread(target=load)
        loader.start()
        made = [cli("--json", "backup", str(copy), "--force", "--data", str(data)) for _ in range(3)]
        refused = cli("backup", str(copy), "--data", str(data))
        running = cli("restore", str(copy), "--data", str(data))
        stop.set()
        loader.join()
    assert [result.code for result in made] == [0, 0, 0], made[0].err
    runs = [result.document["documents"]["runs"] for result in made]
    assert 1 <= runs[0] <= runs[-1] <= len(submitted) + 1
    assert (refused.code, running.code) == (2, 1)
    assert "--force" in refused.err
    assert "Stop it first" in running.err

    restored = cli("--json", "restore", str(copy), "--data", str(data))
    assert restored.code == 0, restored.err
    assert examine(Path(restored.document["replaced"])).documents["runs"] == len(submitted) + 1
    assert examine(data / "headgate.db").documents["runs"] == runs[-1]
    with running_server(data) as server, server.client() as client, server.client(None) as operator:
        assert wait_for_end(client, "pro-demo", first)["state"] == "completed"
        assert wait_for_end(client, "pro-demo", submit(server))["state"] == "completed"
        assert operator.post("/admin/audit", json={}).raise_for_status().json()["violations"] == []


def test_nothing_to_back_up(cli, tmp_path):
    result = cli("backup", str(tmp_path / "copy"), "--data", str(tmp_path / "absent"))
    assert result.code == 2
    assert "--data" in result.err


def test_a_folder_that_is_not_there(cli, tmp_path):
    from headgate.store.sqlite import open_sqlite

    (tmp_path / ".headgate").mkdir()
    open_sqlite(tmp_path / ".headgate" / "headgate.db").close()
    result = cli("backup", str(tmp_path / "absent" / "copy"))
    assert result.code == 1
    assert "no backup was made" in result.err
    made = cli("backup", "copy")
    assert made.code == 0
    assert "schema" in made.out


def test_nothing_to_restore(cli, tmp_path):
    result = cli("restore", str(tmp_path / "absent"))
    assert result.code == 1
    assert "nothing was restored" in result.err


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_only_the_embedded_store(cli, monkeypatch, command):
    monkeypatch.setenv("HEADGATE_STORE", "firestore")
    monkeypatch.setenv("HEADGATE_DELIVERY", "pubsub")
    monkeypatch.setenv("HEADGATE_PUSH_AUTH", "none")
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    result = cli(command, "file")
    assert result.code == 2
    assert "embedded store" in result.err
