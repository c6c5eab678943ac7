"""Streams: every event once and in order, however often the connection breaks and whichever process made it."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from headgate.core.access import Caller, Role
from headgate.flow.cancel import cancel
from headgate.handlers.interface import Job
from headgate.web import streams
from headgate.wiring import System
from tests.services.served import ECHO, Server, Sse, Stage, build_system, eventually

OWNER = Caller(credential="test", role=Role.OWNER, tenant="acme")


def submit(client: httpx.Client, **fields: object) -> str:
    answer = client.post("/tenants/acme/runs", json={"kind": "stage", "input": {}, **fields})
    assert answer.status_code in (201, 202), answer.text
    return str(answer.json()["runId"])


def finished(client: httpx.Client, run_id: str) -> bool:
    return client.get(f"/tenants/acme/runs/{run_id}").json()["finishedAt"] is not None


def test_a_run_is_told_from_its_first_event_to_its_last(server: Server) -> None:
    with server.client() as client:
        run_id = submit(client, **ECHO)
        with server.events(client, run_id) as events:
            told = list(events)
        listed = client.get(f"/tenants/acme/runs/{run_id}/events").json()["items"]

    assert [event.type for event in told] == ["run.pending", "run.running", "run.log", "run.finished"]
    assert [event.id for event in told] == [1, 2, 3, 4]
    assert told[2].data["text"] == "hello\n"
    assert told[3].data["state"] == "completed"
    assert [(e["seq"], e["type"], {"at": e["at"], **e["data"]}) for e in listed] == [
        (event.id, event.type, event.data) for event in told
    ]


def test_output_comes_while_the_run_runs(server: Server, stage: Stage) -> None:
    with server.client() as client:
        run_id = submit(client)
        job = stage.jobs.get(timeout=10)
        with server.events(client, run_id) as events:
            assert [next(events).type for _ in range(2)] == ["run.pending", "run.running"]
            for text in ("one\n", "two\n"):
                job.log(text.encode())
                event = next(events)
                assert (event.type, event.data["text"]) == ("run.log", text)
            stage.over.set()
            assert [event.type for event in events] == ["run.finished"]


def test_a_broken_stream_goes_on_without_loss_or_repetition(server: Server, stage: Stage) -> None:
    """Cut after every single event, again and again, while more come."""
    told: list[Sse] = []
    with server.client() as client:
        run_id = submit(client)
        job = stage.jobs.get(timeout=10)
        writing = threading.Thread(target=write, args=(job, stage))
        writing.start()
        last = 0
        while not told or told[-1].type != "run.finished":
            with server.events(client, run_id, after=last) as events:
                told.append(next(events))
            last = told[-1].id
        writing.join()
        everything = client.get(f"/tenants/acme/runs/{run_id}/events").json()["items"]

    assert [event.id for event in told] == [item["seq"] for item in everything] == list(range(1, len(told) + 1))
    assert "".join(event.data["text"] for event in told if event.type == "run.log") == "".join(
        f"{n}\n" for n in range(8)
    )


def write(job: Job, stage: Stage) -> None:
    for number in range(8):
        job.log(f"{number}\n".encode())
        time.sleep(0.3)
    stage.over.set()


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_resuming_a_finished_run(server: Server, after: int) -> None:
    with server.client() as client:
        run_id = submit(client, **ECHO)
        assert eventually(lambda: finished(client, run_id))
        with server.events(client, run_id, after=after) as events:
            assert [event.id for event in events] == list(range(after + 1, 5))
        by_query = client.get(
            f"/tenants/acme/runs/{run_id}/events?after={after}", headers={"Accept": "text/event-stream"}
        )

    assert by_query.text.count("event: ") == 4 - after


def test_who_has_seen_everything_is_told_to_stop_asking(server: Server) -> None:
    with server.client() as client:
        run_id = submit(client, **ECHO)
        assert eventually(lambda: finished(client, run_id))
        answer = client.get(
            f"/tenants/acme/runs/{run_id}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "4"}
        )

    assert (answer.status_code, answer.content) == (204, b"")


def test_a_change_by_another_process_arrives(server: Server, tmp_path: Path) -> None:
    other = build_system(tmp_path, Stage())  # the same data, nothing else in common
    with server.client() as client:
        run_id = submit(client, notBefore="2199-01-01T00:00:00Z")
        with server.events(client, run_id) as events:
            assert next(events).type == "run.queued"
            started = time.monotonic()
            cancel(other.deps, other.dispatcher, OWNER, "acme", run_id)
            last = list(events)
            took = time.monotonic() - started

    assert [(event.type, event.data["state"]) for event in last] == [("run.finished", "cancelled")]
    assert took < 5
    other.close()


def test_a_change_by_this_process_arrives_at_once(server: Server) -> None:
    took = []
    with server.client() as client:
        for _ in range(3):
            run_id = submit(client, notBefore="2199-01-01T00:00:00Z")
            with server.events(client, run_id) as events:
                next(events)
                started = time.monotonic()
                cancel(server.system.deps, server.system.dispatcher, OWNER, "acme", run_id)
                assert next(events).type == "run.finished"
                took.append(time.monotonic() - started)

    assert min(took) < 0.3  # by the poller alone it would be half a second on average


def test_a_silent_stream_gives_a_sign_of_life(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.1)
    with server.client() as client:
        run_id = submit(client, notBefore="2199-01-01T00:00:00Z")
        headers = {"Accept": "text/event-stream"}
        with client.stream("GET", f"/tenants/acme/runs/{run_id}/events", headers=headers) as response:
            lines = response.iter_lines()
            comments = [line for _, line in zip(range(12), lines, strict=False) if line.startswith(":")]

    assert comments
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["Cache-Control"] == "no-store"


def test_the_log_can_be_followed(server: Server, stage: Stage) -> None:
    with server.client() as client:
        run_id = submit(client)
        job = stage.jobs.get(timeout=10)
        with client.stream("GET", f"/tenants/acme/runs/{run_id}/log?follow=true") as response:
            assert response.status_code == 200
            text = response.iter_text()
            job.log("caf\u00e9\n".encode())
            assert next(text) == "caf\u00e9\n"
            job.log(b"\xff\n")
            stage.over.set()
            assert "".join(text) == "\ufffd\n"
        whole = client.get(f"/tenants/acme/runs/{run_id}/log")

    assert whole.text == "caf\u00e9\n\ufffd\n"
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 19, "\u0663"])
def test_a_bad_event_id_is_a_400(server: Server, value: str) -> None:
    with server.client() as client:
        run_id = submit(client, notBefore="2199-01-01T00:00:00Z")
        headers = [(b"Accept", b"text/event-stream"), (b"Last-Event-ID", value.encode())]
        answer = client.get(f"/tenants/acme/runs/{run_id}/events", headers=headers)

    assert (answer.status_code, answer.json()["field"]) == (400, "Last-Event-ID")


def test_streams_are_for_those_who_may_see_the_run(server: Server) -> None:
    with server.client() as client, server.client("hg_no_key") as stranger:
        run_id = submit(client, notBefore="2199-01-01T00:00:00Z")
        paths = {
            f"/tenants/acme/runs/{run_id}/events": {"Accept": "text/event-stream"},
            f"/tenants/acme/runs/{run_id}/log?follow=true": {},
            f"/tenants/acme/runs/{run_id}/artifacts/x": {},
        }
        for path, headers in paths.items():
            assert stranger.get(path, headers=headers).status_code == 401
            missing = client.get(path.replace(run_id, "run_none"), headers={**headers, "X-Request-Id": "r"})
            elsewhere = client.get(
                path.replace("acme", "big").replace(run_id, "run_none"), headers={**headers, "X-Request-Id": "r"}
            )
            assert missing.status_code == elsewhere.status_code == 404
            assert missing.content == elsewhere.content
            assert client.get(path.replace(run_id, "%00"), headers=headers).status_code == 404
        unknown = client.get(f"/tenants/acme/runs/{run_id}/events?since=1", headers={"Accept": "text/event-stream"})

    assert (unknown.status_code, unknown.json()["field"]) == (400, "since")


def test_a_server_that_stops_ends_its_streams_in_peace(working: System) -> None:
    with Server(working) as server, server.client() as client:
        run_id = submit(client, notBefore="2199-01-01T00:00:00Z")
        with server.events(client, run_id) as events:
            assert next(events).type == "run.queued"
            started = time.monotonic()
            server.front.end_streams()
            assert list(events) == []
    assert time.monotonic() - started < 3


@contextlib.contextmanager
def runs_away(system: System) -> Iterator[None]:
    """The store answers nothing about runs: every read fails as it does when a disk is gone."""
    with contextlib.closing(sqlite3.connect(system.settings.data / "headgate.db", timeout=10)) as database:
        database.execute("ALTER TABLE runs RENAME TO away")
        database.commit()
        yield
        database.execute("ALTER TABLE away RENAME TO runs")
        database.commit()


def test_a_stream_outlives_an_outage_of_the_store(tmp_path: Path) -> None:
    system = build_system(tmp_path, Stage(), HEADGATE_STORE_OUTAGE_SECONDS="0.3", HEADGATE_LOG_LEVEL="WARNING")
    with Server(system) as server, server.client() as client:
        run_id = submit(client, notBefore="2199-01-01T00:00:00Z")
        with server.events(client, run_id) as events:
            assert next(events).type == "run.queued"
            with runs_away(system):
                refused = client.get(f"/tenants/acme/runs/{run_id}", headers={"Accept": "text/event-stream"})
                newcomer = client.get(f"/tenants/acme/runs/{run_id}/events", headers={"Accept": "text/event-stream"})
                system.deps.changes.announce(run_id)  # it looks, and cannot see
                time.sleep(1.6)  # neither can the poller
            cancel(system.deps, system.dispatcher, OWNER, "acme", run_id)
            assert [event.type for event in events] == ["run.finished"]
    system.close()

    for answer in (refused, newcomer):
        assert (answer.status_code, answer.json()["code"]) == (503, "STORE_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) > 0


# --- artifacts


@pytest.fixture
def artifact(server: Server, stage: Stage) -> Iterator[str]:
    """The path of an artifact's run; the artifact is `data.bin`, 200,000 bytes."""
    with server.client() as client:
        run_id = submit(client)
        job = stage.jobs.get(timeout=10)
        source = job.workdir / "made"
        source.write_bytes(bytes(range(200)) * 1000)
        job.save_artifact("data.bin", source, "text/html")
        stage.over.set()
        assert eventually(lambda: finished(client, run_id))
        yield f"/tenants/acme/runs/{run_id}"


def test_an_artifact_is_downloaded(server: Server, artifact: str) -> None:
    with server.client() as client:
        [listed] = client.get(artifact).json()["artifacts"]
        whole = client.get(f"{artifact}/artifacts/data.bin")
        head = client.head(f"{artifact}/artifacts/data.bin")
        part = client.get(f"{artifact}/artifacts/data.bin", headers={"Range": "bytes=0-9"})
        beyond = client.get(f"{artifact}/artifacts/data.bin", headers={"Range": "bytes=999999-"})
        missing = client.get(f"{artifact}/artifacts/other.bin")
        odd = client.get(f"{artifact}/artifacts/..%2f..%2fdemo.json")
        post = client.post(f"{artifact}/artifacts/data.bin")

    assert whole.status_code == 200
    assert hashlib.sha256(whole.content).hexdigest() == listed["sha256"]
    assert (len(whole.content), whole.headers["Content-Length"]) == (listed["bytes"], "200000")
    assert whole.headers["ETag"] == f'"{listed["sha256"]}"'
    assert whole.headers["Content-Disposition"] == 'attachment; filename="data.bin"'
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert (head.status_code, head.content) == (200, b"")
    assert (part.status_code, part.content) == (206, bytes(range(10)))
    assert beyond.status_code == 416
    assert (missing.status_code, missing.json()["code"]) == (404, "NOT_FOUND")
    assert odd.status_code == 404
    assert (post.status_code, post.json()["code"]) == (405, "METHOD_NOT_ALLOWED")


def test_an_artifact_that_retention_removed(server: Server, artifact: str) -> None:
    server.system.deps.artifacts.delete(artifact.rpartition("/")[2])
    with server.client() as client:
        answer = client.get(f"{artifact}/artifacts/data.bin")

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
