"""The front: one id a request, bodies that are read before a thread is taken, and JSON whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware

from headgate.api import build_front
from headgate.core.errors import BodyTooLarge, BodyTooSlow
from headgate.core.run import Run
from headgate.web.body import BodyFirst
from headgate.web.correlation import correlation_of
from headgate.wiring import System
from tests.services.served import ECHO, Server, hold_against_document

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


# --- one id


class Ids:
    def new(self, prefix: str) -> str:
        return f"{prefix}_new"

    def secret(self) -> str:
        return "secret"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("req-1.A_b", "req-1.A_b"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "req_new"),
        ("", "req_new"),
        ("a b", "req_new"),
        ("a\nb", "req_new"),
        ("\u0660", "req_new"),
        ("<script>", "req_new"),
    ],
)
def test_a_request_id_is_taken_if_it_is_one(given: str, taken: str) -> None:
    assert correlation_of({"x-request-id": given}, Ids()).request_id == taken


@pytest.mark.parametrize(
    ("headers", "traceparent"),
    [
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, f"00-{TRACE}-{SPAN}-01"),
        ({"traceparent": f"cc-{TRACE}-{SPAN}-01-more"}, f"00-{TRACE}-{SPAN}-01"),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01-more"}, None),
        ({"traceparent": f"ff-{TRACE}-{SPAN}-01"}, None),
        ({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, None),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, None),
        ({"traceparent": f"00-{TRACE.upper()}-{SPAN}-01"}, None),
        ({"traceparent": "nonsense"}, None),
        ({"x-cloud-trace-context": f"{TRACE}/255;o=1"}, f"00-{TRACE}-00000000000000ff-01"),
        ({"x-cloud-trace-context": f"{TRACE}/255"}, f"00-{TRACE}-00000000000000ff-00"),
        ({"x-cloud-trace-context": f"{TRACE}/{2**64}"}, None),
        ({"x-cloud-trace-context": f"{TRACE}/0"}, None),
        (
            {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-cloud-trace-context": f"{'1' * 32}/1"},
            f"00-{TRACE}-{SPAN}-01",
        ),
        ({}, None),
    ],
)
def test_a_trace_is_taken_from_either_header(headers: dict, traceparent: str | None) -> None:
    assert correlation_of(headers, Ids()).traceparent == traceparent


def test_the_id_goes_from_the_request_into_answer_run_and_receipt(server: Server) -> None:
    headers = {"X-Request-Id": "req-42", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    with server.client() as client:
        answer = client.post("/tenants/acme/runs", json=ECHO, headers=headers)
        strange = client.get("/tenants/acme", headers={"X-Request-Id": "not this one"})
    run = server.system.deps.store.get(Run, answer.json()["runId"])

    assert answer.headers.get_list("X-Request-Id") == ["req-42"]
    assert strange.headers["X-Request-Id"].startswith("req_")
    assert run is not None
    assert (run.request_id, run.trace) == ("req-42", {"traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert run.receipts[0]["requestId"] == "req-42"


# --- bodies


def exchange(server: Server, *pieces: bytes, wait: float = 0) -> bytes:
    """What the server answers to these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        for piece in pieces:
            link.sendall(piece)
            time.sleep(wait)
        answer = b""
        while piece := link.recv(65536):
            answer += piece
    return answer


def head(server: Server, *lines: str) -> bytes:
    start = ("POST /tenants/acme/runs HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}", "Connection: close")
    return "\r\n".join((*start, *lines, "", "")).encode()


def test_a_body_in_pieces_is_a_body(server: Server) -> None:
    body = b'{"kind": "command", "input": {"command": "true"}}'
    pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:30], body[30:])]

    answer = exchange(server, head(server, "Transfer-Encoding: chunked"), *pieces, b"0\r\n\r\n", wait=0.02)

    assert answer.startswith(b"HTTP/1.1 201 ")


def test_too_much_is_refused_before_it_is_read(server: Server) -> None:
    announced = exchange(server, head(server, f"Content-Length: {1024 * 1024 + 1}"))
    sent = exchange(server, head(server, "Transfer-Encoding: chunked"), b"100001\r\n" + b"x" * 0x100001)

    for answer in (announced, sent):
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"BODY_TOO_LARGE" in answer
        assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("length", ["x", "-1", "1, 2", "\u00b2"])
def test_a_nonsensical_length_is_a_400(server: Server, length: str) -> None:
    assert exchange(server, head(server, f"Content-Length: {length}")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "line", ["GET /tenants?x=\u00e9 HTTP/1.1", "GET /t\u00e9nants HTTP/1.1", "NONSENSE", "GET  / HTTP/9"]
)
def test_a_nonsensical_request_is_a_400(server: Server, line: str) -> None:
    answer = exchange(server, f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert answer.split(b" ")[1] == b"400"


def scope(**headers: str) -> dict[str, Any]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": raw}


async def nobody(message: Any) -> None:
    raise AssertionError(f"nothing should be sent: {message}")


async def never() -> Any:
    await asyncio.sleep(60)


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the app should not be asked")

    with pytest.raises(BodyTooSlow):
        asyncio.run(BodyFirst(app, patience=0.05)(scope(content_length="5"), never, nobody))
    with pytest.raises(BodyTooLarge):
        asyncio.run(BodyFirst(app, max_body=4)(scope(content_length="5"), never, nobody))


def test_the_app_sees_a_whole_body_and_its_length() -> None:
    seen: list[Any] = []
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.request", "body": b"c"}]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([dict(scope["headers"]), await receive(), await receive()])
        await send({"type": "http.response.start", "status": 204})
        assert sent == []  # nothing goes out before the app is done
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(BodyFirst(app)(scope(transfer_encoding="chunked", x="y"), receive, send))

    assert seen == [
        {b"x": b"y", b"content-length": b"3"},
        {"type": "http.request", "body": b"abc", "more_body": False},
        {"type": "http.disconnect"},
    ]
    assert sent == ["http.response.start", "http.response.body"]


def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        link.sendall(head(server, "Content-Length: 60") + b'{"kind": "command"')
        time.sleep(0.1)
    with server.client() as client:
        assert client.get("/tenants/acme/runs").json()["items"] == []


def slow_app(environ: Any, start_response: Any) -> list[bytes]:
    """Reads what comes and answers in more pieces than a bridge keeps."""
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b"piece"] * 50


@pytest.mark.parametrize("stalled", ["sender", "reader"])
@pytest.mark.parametrize("buffered", [True, False])
def test_who_stalls_holds_a_thread_only_without_the_buffer(stalled: str, buffered: bool) -> None:
    """One thread, one client that stalls: is the next one answered? Without the buffer (the control) it is not."""

    async def next_is_answered() -> bool:
        bridge: Any = WSGIMiddleware(slow_app, workers=1)
        app = BodyFirst(bridge) if buffered else bridge
        released = asyncio.Event()

        async def stall(*_: Any) -> Any:
            await released.wait()
            return {"type": "http.request", "body": b""}

        async def body() -> Any:
            return {"type": "http.request", "body": b""}

        async def take(message: Any) -> None:
            return

        where = {**scope(), "http_version": "1.1"}
        first = asyncio.create_task(app(where, *((stall, take) if stalled == "sender" else (body, stall))))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(app(where, body, take))
        done, _ = await asyncio.wait([second], timeout=0.5)
        released.set()
        await asyncio.gather(first, second)
        bridge.executor.shutdown()
        return bool(done)

    assert asyncio.run(next_is_answered()) is buffered


# --- errors and apps beside


def test_errors_are_json_behind_the_front_too(server: Server) -> None:
    with server.client() as client:
        unknown = client.get("/nope")
        method = client.delete("/tenants")
        bug = client.post("/tenants/acme/runs", json={"kind": "stage", "input": {"bug": 1}})
        malformed = client.post("/tenants/acme/runs", content=b"[" * 100_000)
        head = client.head("/tenants/acme")

    assert [a.status_code for a in (unknown, method, bug, malformed, head)] == [404, 405, 500, 400, 200]
    assert method.headers["Allow"] == "GET, HEAD"
    assert head.content == b""
    for answer in (unknown, method, bug, malformed):
        assert answer.json()["requestId"] == answer.headers["X-Request-Id"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert list(answer.json()) == ["error", "code", "detail", "field", "requestId"]
    hold_against_document("POST", "/tenants/acme/runs", 500, "application/json", bug.content)


@pytest.mark.parametrize("method", ["OPTIONS", "DELETE", "POST", "BREW"])
@pytest.mark.parametrize("path", ["/artifacts/data.bin", "/events", "/log?follow=true"])
def test_a_wrong_method_where_streams_are(server: Server, method: str, path: str) -> None:
    with server.client() as client:
        for headers in ({}, {"Accept": "text/event-stream"}):
            answer = client.request(method, f"/tenants/acme/runs/run_x{path}", headers=headers)

            assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
            assert answer.json()["code"] == "METHOD_NOT_ALLOWED"


def test_head_works_wherever_get_does(server: Server) -> None:
    with server.client() as client:
        run = client.post("/tenants/acme/runs", json=ECHO).headers["Location"]
        for path in ("/healthz", "/readyz", "/tenants", f"{run}/events", f"{run}/log?follow=true"):
            answer = client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://x/openapi.json", 200),
        ("HTTPS://x:8443/healthz", 200),
        ("http://x/openapi.json?y=1", 400),
        ("http://x/nope", 404),
        ("http://x", 404),
        ("ftp://x/openapi.json", 404),
        ("/http://x/openapi.json", 404),
    ],
)
def test_a_request_line_may_name_the_whole_url(server: Server, target: str, status: int) -> None:
    answer = exchange(server, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def beside(environ: Any, start_response: Any) -> list[bytes]:
    """A WSGI app that says which path it saw, and fails on request."""
    if environ["PATH_INFO"].endswith("/bug"):
        raise RuntimeError("the inside of the house")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ['HTTP_X_REQUEST_ID']}".encode()]


async def ask(app: Any, path: str, **more: Any) -> tuple[int, bytes]:
    """The app's answer, without a server."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({**scope(x_request_id="req-1"), "http_version": "1.1", "path": path, **more}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_other_apps_see_the_whole_path_below_their_prefix(system: System) -> None:
    async def all() -> list[tuple[int, bytes]]:
        front = build_front(system, {"/pubsub": beside})
        paths = ("/pubsub/push", "/pubsub", "/pubsubs", "/pubsub/bug")
        return [await ask(front, path) for path in paths]

    whole, itself, other, bug = asyncio.run(all())

    assert whole == (200, b"|/pubsub/push|req-1")
    assert itself == (200, b"|/pubsub|req-1")
    assert other[0] == 404
    assert bug[0] == 500
    assert b"house" not in bug[1]


def test_a_query_that_is_no_ascii_is_a_400(system: System) -> None:
    status, body = asyncio.run(ask(build_front(system), "/healthz", query_string=b"x=\xff"))

    assert status == 400
    assert b"INVALID_REQUEST" in body


def test_the_lifespan_is_entered_and_left(system: System) -> None:
    told: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> Any:
        told.append("up")
        yield
        told.append("down")

    async def live() -> list[str]:
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent: list[str] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await build_front(system, lifespan=lifespan)({"type": "lifespan", "state": {}}, receive, send)
        return sent

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert told == ["up", "down"]


def test_websockets_are_declined(system: System) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(build_front(system)({"type": "websocket", "path": "/tenants", "headers": []}, never, send))

    assert sent == ["websocket.close"]
