"""A run over a limit, from its submission to its end: the state, the code, and how soon its slots are free."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import datetime
from pathlib import Path

import pytest

from headgate.handlers.sandbox import active_layers
from tests.services.served import Server, build_system, eventually, key_of

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
MB = 1024 * 1024
HOGS = {
    "memory": "kept = []\nwhile True: kept.append(b'x' * (8 << 20))",
    "cpu": "while True: pass",
    "time": "import os, time\nif os.fork() == 0: os.setsid()\ntime.sleep(60)",
}
LIMITS = {"memoryBytes": 64 * MB, "durationSeconds": 1.0, "cpuCores": 2}

pytestmark = pytest.mark.linux


@pytest.mark.parametrize(
    ("hog", "limits", "state", "code"),
    [
        ("memory", {**LIMITS, "durationSeconds": 30}, "failed", "MEMORY_LIMIT"),
        ("cpu", {**LIMITS, "durationSeconds": 30, "cpuCores": 0.01}, "failed", "CPU_LIMIT"),
        ("time", LIMITS, "timed_out", "TIMED_OUT"),
    ],
)
def test_a_run_over_its_limit(tmp_path: Path, hog: str, limits: dict, state: str, code: str):
    commands = tmp_path / "commands.json"
    commands.write_text(json.dumps({name: {"argv": [PYTHON, "-c", code]} for name, code in HOGS.items()}))
    system = build_system(tmp_path, HEADGATE_COMMANDS=str(commands))
    system.start()
    try:
        with Server(system) as server, server.client() as client, server.client(key_of(system, None)) as operator:
            asked = {"kind": "command", "input": {"command": hog}, "limits": limits}
            run_id = client.post("/tenants/acme/runs", json=asked).json()["runId"]
            path = f"/tenants/acme/runs/{run_id}"
            assert eventually(lambda: client.get(path).json()["finishedAt"] is not None, 25)
            slots = operator.get("/admin/slots").json()["scopes"]
            run, events = client.get(path).json(), client.get(f"{path}/events").json()["items"]
            ready = client.get("/readyz").json()
    finally:
        system.close()

    assert (run["state"], run["error"]["code"]) == (state, code)
    assert [scope for scope in slots if scope["used"]] == []  # given back in the commit that ended it
    took = datetime.fromisoformat(run["finishedAt"]) - datetime.fromisoformat(run["startedAt"])
    if hog == "time":  # when the others reach their limits depends on how busy the machine is
        assert took.total_seconds() < 1.0 + 2.0
    assert events[-1]["data"]["sandbox"] == list(active_layers()) == ready["sandbox"]
