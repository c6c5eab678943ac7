"""A real `headgate up` in a process of its own, on a free port, with its data in a folder of the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 60.0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """The process, and a client for it."""

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None, port: int | None = None) -> None:
        self.data = data
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = dict(environment or {})
        self._log = data.parent / f"{data.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, cwd: Path | None = None) -> Server:
        """Start and wait until it is ready. Raises AssertionError with its log when it does not come up."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HEADGATE_", "FIRESTORE_", "PUBSUB_"))}
        environment = {**inherited, "HEADGATE_DATA": str(self.data), "PORT": str(self.port), "HEADGATE_LOG": "json"}
        environment |= self._environment
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headgate", "up"],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=cwd or self.data.parent,
            )
        self._wait_ready()
        return self

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, f"headgate ended:\n{self.log()}"
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"headgate was not ready within {STARTS_WITHIN} s:\n{self.log()}")

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text("utf-8", "replace")[-8000:]

    def demo(self) -> dict[str, Any]:
        """demo.json."""
        found: dict[str, Any] = json.loads((self.data / "demo.json").read_text("utf-8"))
        return found

    def client(self, tenant: str | None = "pro-demo") -> httpx.Client:
        """A client with the demo tenant's key, or the operator's."""
        demo = self.demo()
        key = demo["operator"]["apiKey"] if tenant is None else demo["tenants"][tenant]["apiKey"]
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


@contextlib.contextmanager
def running_server(data: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server for the block; stopped after it, killed if it does not stop."""
    server = Server(data, environment).start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()


def wait_for_end(client: httpx.Client, tenant: str, run_id: str, seconds: float = 60) -> dict[str, Any]:
    """The run once it has ended. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    run: dict[str, Any] = {}
    while time.monotonic() < deadline:
        run = client.get(f"/tenants/{tenant}/runs/{run_id}").raise_for_status().json()
        if run["state"] not in ("queued", "pending", "running"):
            return run
        time.sleep(0.1)
    raise AssertionError(f"run {run_id} has not ended within {seconds} s: {run}")
