"""A crowd of slow clients: it costs connections, not threads, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from headgate.web.watch import READERS
from tests.services.served import Server, eventually

CROWD = 200
CALM_MS = 50.0


@pytest.fixture(autouse=True)
def enough_descriptors() -> Iterator[None]:
    """Both ends of every connection are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_stream(server: Server, run_id: str) -> socket.socket:
    """An event stream of which the first event has arrived."""
    link = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    lines = (f"GET /tenants/acme/runs/{run_id}/events HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}")
    link.sendall("\r\n".join((*lines, "Accept: text/event-stream", "", "")).encode())
    answer = b""
    while b"run.queued" not in answer:
        piece = link.recv(4096)
        assert piece, answer
        answer += piece
    return link


def stall_body(server: Server) -> socket.socket:
    """A submission that never ends."""
    link = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    lines = ("POST /tenants/acme/runs HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}")
    link.sendall("\r\n".join((*lines, "Content-Length: 500", "", '{"kind": ')).encode())
    return link


def median_ms(client: httpx.Client, asked: int = 30) -> float:
    took = []
    for _ in range(asked):
        started = time.perf_counter()
        assert client.get("/tenants/acme").status_code == 200
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


def calm(client: httpx.Client) -> bool:
    """Three tries: the machine has other things to do, too."""
    return min(median_ms(client) for _ in range(3)) < CALM_MS


def sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed since it was listed
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


def other_files() -> int:
    return len(os.listdir("/proc/self/fd")) - sockets()


def threads() -> int:
    """All but those of the two pools, which are bounded and nearly idle: a GET after the other needs a thread or two."""
    names = [thread.name for thread in threading.enumerate()]
    reading, answering = (sum(name.startswith(pool) for name in names) for pool in ("stream", "WSGI"))
    assert reading <= READERS
    assert answering <= 4
    return len(names) - reading - answering


@pytest.mark.linux
def test_two_hundred_streams_and_two_hundred_stalled_bodies_disturb_nobody(server: Server) -> None:
    with server.client() as client:
        run = {"kind": "stage", "input": {}, "notBefore": "2199-01-01T00:00:00Z"}
        run_ids = [client.post("/tenants/acme/runs", json=run).json()["runId"] for _ in range(4)]
        median_ms(client)
        before = sockets(), threads()
        files = other_files()

        with contextlib.ExitStack() as crowd:
            for number in range(CROWD):
                crowd.enter_context(open_stream(server, run_ids[number % 4]))
                crowd.enter_context(stall_body(server))
            assert sockets() >= 4 * CROWD
            assert calm(client), "a GET takes too long beside the crowd"
            assert threads() <= before[1]

        # Not more than before; fewer when something of an earlier test was still on its way out.
        assert eventually(lambda: sockets() <= before[0] and threads() <= before[1], 20), (sockets(), threads(), before)
        assert other_files() <= files + 3 * READERS  # what the pool's own connections to the store need
        assert eventually(lambda: not server.front._streams._watch._followers)
        assert calm(client)
