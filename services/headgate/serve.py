"""`headgate up`: everything in one process on one port: API, worker, delivery, sweep.

The server runs in the main thread; the worker's heart, the sweep and the delivery start and stop with it. kill -9 at
any moment loses nothing: the next start takes back at once what this process held.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import uvicorn

from headgate import demo, wiring
from headgate.api import build_front
from headgate.core.errors import HeadgateError, Unavailable
from headgate.delivery.port import DeliveryDown
from headgate.flow import setup, sweep
from headgate.handlers.orphans import end_orphans
from headgate.handlers.removal import remove
from headgate.settings import Settings, SettingsError
from headgate.web.front import Front
from headgate.wiring import System
from headgate.worker.app import create_worker

START_PATIENCE_SECONDS = 30.0
"""How long a start waits for the store and the broker."""


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
        if self._thread.is_alive():
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
    """The process's own threads: delivery, heart, alarm, sweep. What a dead process of this data folder held comes first."""
    sweeper = Sweeper(system)
    _warn_of_open_data(system)
    try:
        _remove_work(system)  # of attempts whose process was killed
        taken = sweep.reclaim(system.deps, system.dispatcher, f"{system.place}:", living=system.executor.worker)
        if taken:
            system.deps.telemetry.info("start.reclaimed", runs=taken)
        system.start()  # only now: the lines above would take away what this process executes
        sweeper.start()
        yield
    finally:
        sweeper.stop()
        system.close()
        _remove_work(system)


def _warn_of_open_data(system: System) -> None:
    """A folder that was there before is its owner's: its rights are left as they are, and said."""
    data = system.settings.data.absolute()
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & 0o077:
        system.deps.telemetry.warning("start.data_open", folder=str(data), mode=f"{mode:o}", remedy=f"chmod 700 {data}")


def _remove_work(system: System) -> None:
    """What stays costs room, and no start: the next one tries again."""
    folder = wiring.work_folder(system.place)
    if orphans := end_orphans(folder):
        system.deps.telemetry.warning("start.orphans_ended", processes=orphans)
    try:
        remove(folder)
    except OSError as error:
        system.deps.telemetry.warning("start.folder_left", folder=str(folder), reason=str(error))


def serve(settings: Settings) -> int:
    """Run until told to stop; the exit code: 2 for a setting that cannot be used, 1 for what is not there.

    Says on standard output what to try next.
    """
    with contextlib.ExitStack() as stack:
        try:
            if not stack.enter_context(only_server(settings.data)):
                print(
                    f"Another headgate is running on {settings.data}: stop it, or set HEADGATE_DATA.", file=sys.stderr
                )
                return 1
            listener = stack.enter_context(_listener(settings))
        except SettingsError as error:
            print(error, file=sys.stderr)
            return 2
        system = wiring.build(settings)
        try:
            first = _prepare(system)
        except (HeadgateError, DeliveryDown) as error:
            system.close()
            print(f"headgate cannot start: {error} {_where(settings)}".rstrip(), file=sys.stderr)
            return 1
        return _serve(system, listener, first)


def _listener(settings: Settings) -> socket.socket:
    """The port, taken before the store is touched. Raises SettingsError naming the setting and the remedy."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
    except OSError as error:
        raise SettingsError(
            [f'HEADGATE_HOST="{settings.host}": {error.strerror}; give an address of this machine']
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        remedy = (
            "set PORT to a free one"
            if error.errno == errno.EADDRINUSE
            else "set HEADGATE_HOST and PORT to what may be used"
        )
        raise SettingsError([f'PORT="{settings.port}" on {settings.host}: {error.strerror}; {remedy}']) from error
    return listener


def _prepare(system: System) -> bool:
    """Make what a start needs, patiently: an emulator that was started together with us needs its time.

    Whether this was the first start on this store, so that the demo keys are new.
    """
    timing = system.deps.timing
    deadline = timing.monotonic() + START_PATIENCE_SECONDS
    while True:
        try:
            if system.settings.delivery == "pubsub" and system.settings.pubsub_emulator is not None:
                _ensure_emulated_subscription(system.settings)
            setup.prepare(system.deps, system.dispatcher)
            return demo.write_demo(system)
        except (Unavailable, DeliveryDown) as down:
            if timing.monotonic() > deadline:
                raise
            system.deps.telemetry.warning("start.waiting", detail=f"{down} {_where(system.settings)}".rstrip())
            timing.sleep(1.0)


def _where(settings: Settings) -> str:
    """Which settings say where the emulators are: what to look at when they do not answer."""
    named = {"FIRESTORE_EMULATOR_HOST": settings.firestore_emulator, "PUBSUB_EMULATOR_HOST": settings.pubsub_emulator}
    said = ", ".join(f"{name}={value}" for name, value in named.items() if value)
    return f"({said})" if said else ""


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


def _serve(system: System, listener: socket.socket, first: bool) -> int:
    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        with running(system):
            yield

    settings = system.settings
    worker = create_worker(system)
    pushes = {"/pubsub": worker, "/tasks": worker}
    app = build_front(system, pushes, threads={"/pubsub": settings.workers}, lifespan=lifespan)
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=8)
    for told in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises what it caught once more when it has stopped: to stop when told is success, not death.
        signal.signal(told, lambda number, frame: None)
    server = _Server(config, app, demo.greeting(settings, first), system.executor.stop)
    server.run(sockets=[listener])
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """uvicorn, that greets when it listens and ends open streams when it stops."""

    def __init__(self, config: uvicorn.Config, front: Front, greeting: str, stop_work: Callable[[], None]) -> None:
        super().__init__(config)
        self._front = front
        self._greeting = greeting
        self._stop_work = stop_work

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Greet once the port is ours."""
        await super().startup(sockets=sockets)  # type: ignore[arg-type]
        if self.started:
            print(self._greeting, flush=True)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Without streams and runs there is little left to wait for: a push is answered when its run has ended here."""
        self._front.end_streams()
        threading.Thread(target=self._stop_work, name="stop", daemon=True).start()
        await super().shutdown(sockets=sockets)  # type: ignore[arg-type]


@contextlib.contextmanager
def only_server(data: Path) -> Iterator[bool]:
    """Whether this process is the only server on the data folder. Dying gives the place free. Raises SettingsError."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(data / "server.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        remedy = "give a folder that this user can make and write"
        raise SettingsError([f'HEADGATE_DATA="{data}": {error.strerror}; {remedy}']) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
