"""The API as a service: gunicorn with several processes, built from the environment; it executes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from headgate.core.run import Run
from headgate.flow import setup
from headgate.store.documents import where
from tests.services.served import ECHO, build_system, key_of
from tests.support.emulators import free_port

SERVICES = Path(__file__).parents[2] / "services"
GUNICORN = ("-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker", "--workers", "2", "--graceful-timeout", "9")
ENVIRONMENT = {
    "HEADGATE_DELIVERY": "pubsub",
    "HEADGATE_PUSH_AUTH": "none",
    "HEADGATE_LOG": "json",
    "GOOGLE_CLOUD_PROJECT": "headgate-test",
}


@contextlib.contextmanager
def served(data: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    variables = {"PYTHONPATH": str(SERVICES), "HEADGATE_DATA": str(data)}
    nobody = {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}"}
    command = [sys.executable, *GUNICORN, "-b", f"127.0.0.1:{port}", "headgate.api.asgi:app()"]
    process = subprocess.Popen(
        command, env=ours | variables | ENVIRONMENT | nobody, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def await_alive(url: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            assert httpx.get(f"{url}/healthz", timeout=5).json() == {"status": "ok"}
            return
        time.sleep(0.2)
    pytest.fail("the API does not listen")


def test_it_answers_stores_and_stops(tmp_path: Path) -> None:
    system = build_system(tmp_path)
    key = key_of(system, "acme")
    with served(tmp_path / "data") as (url, process):
        await_alive(url, process)
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{url}/tenants/acme/runs", json=ECHO, headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (503, "BROKER_UNAVAILABLE"), answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert httpx.post(f"{url}/tasks/sweep", timeout=30).status_code in (401, 404)  # that is the worker's

        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0
    [run] = system.deps.store.query(Run, where(Run))
    assert run.state == "cancelled"  # nobody takes messages here: it was stored, and withdrawn
    assert '"action": "run.publish_failed"' in log
    assert '"action": "http.answered"' in log
    assert setup.knows_key(system.deps, key)
    system.close()
