"""`headgate up`: everything in one process on one port: API, worker, delivery, sweep.

The server runs in the main thread; the worker's heart, the sweep and the delivery start and stop with it. kill -9 at
any moment loses nothing: the next start takes back at once what this process held.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn

from headgate import wiring
from headgate.api import build_front
from headgate.core.errors import HeadgateError
from headgate.delivery.port import DeliveryDown
from headgate.flow import setup, sweep
from headgate.settings import Settings
from headgate.web.front import Front
from headgate.wiring import System
from headgate.worker.app import create_worker

EMULATOR_TIMEOUT = 10.0


class Sweeper:
    """Runs the sweep every so often in a thread of its own, first at once."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a round under way is waited for a moment."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        deps = self._system.deps
        while not self._stop.is_set():
            try:
                sweep.sweep(deps, self._system.dispatcher)
            except HeadgateError as error:
                deps.telemetry.warning("sweep.unavailable", reason=str(error.code), detail=error.detail)
            except Exception as error:  # noqa: BLE001 - the sweep must outlive what it meets; it is reported with its trace
                deps.telemetry.error("sweep.error", error)
            self._stop.wait(self._system.settings.sweep_seconds)


@contextlib.contextmanager
def running(system: System) -> Iterator[None]:
    """The process's own threads: delivery, heart, sweep."""
    sweeper = Sweeper(system)
    shutil.rmtree(system.settings.data / "work", ignore_errors=True)  # of attempts whose process was killed
    system.executor.start()
    if system.settings.store == "sqlite":
        taken = sweep.reclaim(system.deps, system.dispatcher, wiring.EMBEDDED_WORKER)
        if taken:
            system.deps.telemetry.info("start.reclaimed", runs=taken)
    sweeper.start()
    try:
        yield
    finally:
        sweeper.stop()
        system.close()


def serve(settings: Settings) -> int:
    """Run until told to stop; the exit code. Says on standard output what to try next."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _only_server(settings.data) as alone:
        if not alone:
            print(f"Another headgate is running on {settings.data}: stop it, or set HEADGATE_DATA.", file=sys.stderr)
            return 1
        system = wiring.build(settings)
        try:
            _prepare(system)
        except (HeadgateError, DeliveryDown) as error:
            system.close()
            print(f"headgate cannot start: {error}", file=sys.stderr)
            return 1
        return _serve(system)


def _prepare(system: System) -> None:
    if system.settings.delivery == "pubsub" and system.settings.pubsub_emulator is not None:
        _ensure_emulated_subscription(system.settings)
    setup.prepare(system.deps, system.dispatcher)
    write_demo(system)


def _ensure_emulated_subscription(settings: Settings) -> None:
    from headgate.delivery.pubsub import ensure_topic_and_subscription

    assert settings.pubsub_emulator is not None
    ensure_topic_and_subscription(
        project=settings.project,
        topic=settings.topic,
        subscription=settings.subscription,
        push_endpoint=settings.push_endpoint,
        emulator_host=settings.pubsub_emulator,
    )


def _serve(system: System) -> int:
    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        with running(system):
            yield

    settings = system.settings
    worker = create_worker(system)
    pushes = {"/pubsub": worker, "/tasks": worker}
    app = build_front(system, pushes, threads={"/pubsub": settings.workers}, lifespan=lifespan)
    config = uvicorn.Config(
        app, host=settings.host, port=settings.port, log_config=None, access_log=False, timeout_graceful_shutdown=8
    )
    server = _Server(config, system, app)
    for told in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises what it caught once more when it has stopped: to stop when told is success, not death.
        signal.signal(told, lambda number, frame: None)
    server.run()
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """uvicorn, that greets when it listens and ends open streams when it stops."""

    def __init__(self, config: uvicorn.Config, system: System, front: Front) -> None:
        super().__init__(config)
        self._system = system
        self._front = front

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Greet once the port is ours."""
        await super().startup(sockets=sockets)  # type: ignore[arg-type]
        if self.started:
            print(greeting(self._system.settings), flush=True)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Without streams and runs there is little left to wait for: a push is answered when its run has ended here."""
        self._front.end_streams()
        threading.Thread(target=self._system.executor.stop, name="stop", daemon=True).start()
        await super().shutdown(sockets=sockets)  # type: ignore[arg-type]


def write_demo(system: System) -> None:
    """demo.json with this server's address and the demo keys, made once: again only for a store that does not know them.

    If we die before it is written, the next start makes new keys.
    """
    if not _is_local(system.settings):
        return
    path, url = demo_path(system.settings), server_url(system.settings)
    demo = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if not demo or not setup.knows_key(system.deps, demo["operator"]["apiKey"]):
        demo = setup.create_demo(system.deps)
    elif demo["url"] == url:
        return
    temporary = path.with_suffix(".tmp")
    with open(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump({**demo, "url": url}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _is_local(settings: Settings) -> bool:
    """Whether the store is this machine's own: keys that lie in a file are never made for a shared one."""
    return settings.store == "sqlite" or settings.firestore_emulator is not None


def demo_path(settings: Settings) -> Path:
    """Where the demo keys are."""
    return settings.data / "demo.json"


def server_url(settings: Settings) -> str:
    """How this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def greeting(settings: Settings) -> str:
    """What to try next; the curl works when pasted."""
    up = f"headgate is up on {server_url(settings)} (store: {settings.store}, delivery: {settings.delivery})"
    if not demo_path(settings).exists():
        return up
    demo = json.loads(demo_path(settings).read_text("utf-8"))
    url, key = server_url(settings), demo["tenants"]["pro-demo"]["apiKey"]
    return f"""
{up}

Submit a run:

  curl -sS {url}/tenants/pro-demo/runs \\
    -H 'Authorization: Bearer {key}' \\
    -d '{{"kind": "command", "input": {{"command": "echo", "args": ["hello"]}}}}'

Watch it:      headgate runs --tenant pro-demo
All demo keys: {demo_path(settings)}
Stop:          Ctrl-C
"""


@contextlib.contextmanager
def _only_server(data: Path) -> Iterator[bool]:
    """Whether this process is the only server on the data folder. Dying gives the place free."""
    handle = os.open(data / "server.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
