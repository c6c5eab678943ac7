"""The worker as a service: gunicorn with threads, built from the environment, stopping in good order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from headgate.core.run import Run
from headgate.delivery.pubsub import ensure_topic_and_subscription
from headgate.wiring import System
from tests.support.emulators import free_port
from tests.support.pushes import data, wrapped
from tests.support.systems import eventually, pubsub_system, stored, submit

SERVICES = Path(__file__).parents[2] / "services"
GUNICORN = ("-m", "gunicorn", "-k", "gthread", "--threads", "8", "--graceful-timeout", "9")


@contextlib.contextmanager
def worker(data_folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A worker service: its URL and its process (gunicorn's own; its child has the application)."""
    port = free_port()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    variables = {"PYTHONPATH": str(SERVICES), "HEADGATE_DATA": str(data_folder), "HEADGATE_DELIVERY": "pubsub"}
    command = [sys.executable, *GUNICORN, "-b", f"127.0.0.1:{port}", "headgate.worker.wsgi:app()"]
    process = subprocess.Popen(command, env=ours | variables | environment, start_new_session=True)
    try:
        await_listening(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}", process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def await_listening(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            assert httpx.get(url, timeout=2).status_code == 404
            return
        time.sleep(0.1)
    pytest.fail("the worker does not listen")


NOBODY = f"127.0.0.1:{free_port()}"
TOWARDS_EMULATOR = {"HEADGATE_PUSH_AUTH": "none", "PUBSUB_EMULATOR_HOST": NOBODY}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """The API's side of the same data."""
    with pubsub_system(tmp_path) as built:
        yield built


def test_a_probe_finds_it_alive(tmp_path: Path) -> None:
    with worker(tmp_path, TOWARDS_EMULATOR) as (url, _):
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}


def push(url: str, run: Run) -> httpx.Response:
    return httpx.post(f"{url}/pubsub/push", content=wrapped(data(run.id, run.fence)).body, timeout=60)


def test_it_executes_what_is_pushed(system: System, tmp_path: Path):
    run = submit(system)
    with worker(tmp_path, TOWARDS_EMULATOR) as (url, _):
        assert push(url, run).status_code == 204
        assert stored(system, run).state == "completed"
        assert httpx.post(f"{url}/tasks/sweep", timeout=10).json()["leases"] == 0


def test_sigterm_puts_live_runs_back_in_line_within_ten_seconds(system: System, tmp_path: Path):
    run, quick = submit(system, "sleep", "60"), submit(system, "sleep", "2")
    with worker(tmp_path, TOWARDS_EMULATOR) as (url, process), ThreadPoolExecutor(2) as pool:
        pushes = [pool.submit(push, url, one) for one in (run, quick)]
        for one in (run, quick):
            eventually(system, one, "running")
        process.terminate()
        started = time.monotonic()
        assert process.wait(timeout=15) == 0
        assert time.monotonic() - started < 10
        assert [pushed.result(timeout=5).status_code for pushed in pushes] == [204, 204]
    assert stored(system, quick).state == "completed", "what could end in time ended"
    after = stored(system, run)
    assert (after.state, after.attempt) in (("pending", 1), ("queued", 1)), "handed back, its attempt unused"


@pytest.mark.emulators
def test_through_the_emulator_every_run_ends_once(pubsub_emulator: str, project_id: str, tmp_path: Path):
    environment = {"PUBSUB_EMULATOR_HOST": pubsub_emulator, "GOOGLE_CLOUD_PROJECT": project_id}
    with (
        pubsub_system(tmp_path, **environment) as system,
        worker(tmp_path, TOWARDS_EMULATOR | environment) as (url, _),
    ):
        settings = system.settings
        ensure_topic_and_subscription(
            project_id, settings.topic, settings.subscription, f"{url}/pubsub/push", pubsub_emulator
        )
        runs = [submit(system, "echo", str(number)) for number in range(12)]
        ended = [eventually(system, run, "completed", seconds=60) for run in runs]
        for number, run in enumerate(ended):
            assert f"{number}\\n" in str(run.result)
            assert run.attempt == 1


def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path: Path):
    command = [sys.executable, "-c", "from headgate.worker.wsgi import app; app()"]
    variables = {"PYTHONPATH": str(SERVICES), "HEADGATE_DATA": str(tmp_path), "HEADGATE_PUSH_AUTH": "perhaps"}
    ended = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=30)
    assert ended.returncode != 0
    assert 'HEADGATE_PUSH_AUTH="perhaps"' in ended.stderr


def test_outside_a_server_it_is_built_all_the_same(tmp_path: Path):
    """Where nobody catches SIGTERM the process dies of it at once: the lease runs out, and the sweep takes the run."""
    script = "from headgate.worker.wsgi import app; print(sorted(str(r) for r in app().url_map.iter_rules()))"
    variables = {"PYTHONPATH": str(SERVICES), "HEADGATE_DATA": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **variables}, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 0, ended.stderr
    assert "/pubsub/push" in ended.stdout
