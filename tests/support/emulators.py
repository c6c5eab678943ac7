"""The Firestore and the Pub/Sub emulator, started straight from their jars on a free port.

`gcloud emulators … start` would leave its Java child behind, and a second emulator on a taken port logs an exception
and stays, so that tests talk to the other one: hence the jar itself, its own process group, and a real RPC as probe.

As fixtures (`firestore_emulator`, `pubsub_emulator`: `host:port`, one each per test process, started when first asked
for) or anywhere else: `with running_firestore() as host: …`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import grpc
import pytest
from google.cloud.firestore_v1.types import ListCollectionIdsRequest
from google.pubsub_v1.types import ListTopicsRequest

START_SECONDS = 60.0
JVM = ("-Xmx768m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Duser.language=en")


class EmulatorMissing(Exception):
    """What this machine lacks to run an emulator."""


@dataclass(frozen=True)
class Emulator:
    """How to start one, what it logs once the port is its own, and a call that only the right service answers."""

    title: str
    jar: str
    main: str | None
    started: bytes
    probe: str
    request: bytes

    def command(self, port: int) -> list[str]:
        """The command line."""
        jar = str(find_jar(self))
        start = ("-cp", jar, self.main) if self.main else ("-jar", jar)
        return [*_dies_with_us(), java(), *JVM, *start, "--host=127.0.0.1", f"--port={port}"]


FIRESTORE = Emulator(
    "Firestore",
    "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
    "com.google.cloud.datastore.emulator.firestore.CloudFirestore",
    b"is now running",
    "/google.firestore.v1.Firestore/ListCollectionIds",
    ListCollectionIdsRequest.serialize(ListCollectionIdsRequest(parent="projects/probe/databases/(default)/documents")),
)
PUBSUB = Emulator(
    "Pub/Sub",
    "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
    None,
    b"listening on",
    "/google.pubsub.v1.Publisher/ListTopics",
    ListTopicsRequest.serialize(ListTopicsRequest(project="projects/probe")),
)


# --- what is installed


def java() -> str:
    """The Java program."""
    found = shutil.which("java")
    if found is None:
        raise EmulatorMissing("no `java` on PATH")
    return found


def find_jar(emulator: Emulator) -> Path:
    """The emulator's jar in whichever Cloud SDK is installed."""
    roots = list(_sdk_roots())
    jars = [jar for root in roots for jar in sorted(root.glob(emulator.jar), reverse=True)]
    if not jars:
        where = ", ".join(map(str, roots)) or "no Cloud SDK"
        raise EmulatorMissing(f"the {emulator.title} emulator is not installed (looked for {emulator.jar} in: {where})")
    return jars[0]


def _sdk_roots() -> Iterator[Path]:
    gcloud = shutil.which("gcloud")
    places = [
        os.environ.get("CLOUDSDK_ROOT"),
        Path(gcloud).resolve().parent.parent if gcloud else None,
        "/usr/lib/google-cloud-sdk",
        "/opt/google-cloud-sdk",
        Path.home() / "google-cloud-sdk",
    ]
    yield from dict.fromkeys(Path(place) for place in places if place and Path(place).is_dir())


def _dies_with_us() -> tuple[str, ...]:
    """Even a test process that is killed outright takes its emulator with it, where setpriv can arrange that.

    Strictly the emulator dies with the *thread* that started it: start it in one that lasts.
    """
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()


# --- running


@contextlib.contextmanager
def running_firestore(port: int | None = None) -> Iterator[str]:
    """A Firestore emulator; its `host:port`."""
    with _running(FIRESTORE, port) as host:
        yield host


@contextlib.contextmanager
def running_pubsub(port: int | None = None) -> Iterator[str]:
    """A Pub/Sub emulator; its `host:port`."""
    with _running(PUBSUB, port) as host:
        yield host


@contextlib.contextmanager
def _running(emulator: Emulator, port: int | None) -> Iterator[str]:
    with tempfile.TemporaryFile("w+b") as log:
        port = port or free_port()
        process = subprocess.Popen(
            emulator.command(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        kill = partial(_kill, process)
        atexit.register(kill)
        try:
            _await_ready(emulator, f"127.0.0.1:{port}", process, log)
            yield f"127.0.0.1:{port}"
        finally:
            kill()
            atexit.unregister(kill)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(emulator: Emulator, host: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    with grpc.insecure_channel(host, options=[("grpc.max_reconnect_backoff_ms", 100)]) as channel:
        call = channel.unary_unary(emulator.probe)  # bytes in, bytes out
        while emulator.started not in (said := _said(log)) or not _answers(call, emulator.request):
            if b"BindException" in said:
                raise RuntimeError(f"{host} was taken while the {emulator.title} emulator started")
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the {emulator.title} emulator did not start: {said.decode(errors='replace')}")
            time.sleep(0.05)


def _answers(call: grpc.UnaryUnaryMultiCallable, request: bytes) -> bool:
    try:
        call(request, timeout=2, metadata=[("authorization", "Bearer owner")])
    except grpc.RpcError as problem:
        if problem.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise RuntimeError("another service answers on this port") from problem
        return False
    return True


def _said(log: IO[bytes]) -> bytes:
    return os.pread(log.fileno(), 100_000, 0)  # the process writes on where its own offset stands


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- fixtures


@contextlib.contextmanager
def _or_skipped(running: contextlib.AbstractContextManager[str]) -> Iterator[str]:
    """Absent on a laptop is a visible skip; absent in CI is a failure."""
    with contextlib.ExitStack() as stack:
        try:
            host = stack.enter_context(running)
        except EmulatorMissing as missing:
            if os.environ.get("CI"):
                pytest.fail(f"CI needs the emulators: {missing}")
            pytest.skip(str(missing))
        yield host


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[str]:
    """`host:port` of this test process's Firestore emulator."""
    with _or_skipped(running_firestore()) as host:
        yield host


@pytest.fixture(scope="session")
def pubsub_emulator() -> Iterator[str]:
    """`host:port` of this test process's Pub/Sub emulator."""
    with _or_skipped(running_pubsub()) as host:
        yield host


@pytest.fixture
def project_id() -> str:
    """A project no other test uses: emulators keep projects apart, so nothing needs clearing."""
    return f"test-{uuid.uuid4().hex[:12]}"
