"""A stand-in for the server: what the real one cannot be made to say at will, over real HTTP. It knows no rules."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

CUT = b"\x00cut"
"""In a stream: break the connection here."""


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What is said: a JSON document, text, or the pieces of a stream with a pause (seconds) after each.

    `lost` = the connection breaks without an answer.
    """

    status: int = 200
    document: Any = None
    text: str | None = None
    stream: list[bytes] | None = None
    pause: float = 0.0
    lost: bool = False


@dataclass
class Standin:
    """`answers` decides; `asked` remembers."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: Callable[[Asked], Answer] = lambda asked: Answer(404, {"error": "Not found", "code": "NOT_FOUND"})

    def says(self, *answers: Answer) -> None:
        """These answers one after the other, the last one for ever."""
        waiting = list(answers)
        self.answers = lambda asked: waiting.pop(0) if len(waiting) > 1 else waiting[0]


@contextmanager
def standin() -> Iterator[Standin]:
    """A stand-in on a free port."""
    it, ended = Standin(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, json.loads(body or "null"))
            it.asked.append(asked)
            self.answer(it.answers(asked))

        do_POST = do_PUT = do_DELETE = do_GET

        def answer(self, answer: Answer) -> None:
            self.close_connection = answer.lost or answer.stream is not None
            if answer.lost:
                return
            self.send_response(answer.status)
            if answer.stream is not None:
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.pieces(answer.stream, answer.pause)
                return
            content = (json.dumps(answer.document) if answer.text is None else answer.text).encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def pieces(self, stream: list[bytes], pause: float) -> None:
            for piece in stream:
                if piece == CUT:
                    return
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if ended.wait(pause):
                    return
            self.wfile.write(b"0\r\n\r\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    it.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield it
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def sse(number: int, kind: str, **data: object) -> bytes:
    """One server-sent event."""
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def a_run(**changes: Any) -> dict[str, Any]:
    """A run as SPEC 14 has it."""
    run: dict[str, Any] = {
        "runId": "run_1", "tenantId": "pro-demo", "kind": "command", "state": "pending", "waiting": None, "priority": 5,
        "repo": None, "org": None, "user": None, "labels": {}, "input": {"command": "true"},
        "limits": {"memoryBytes": 536870912, "durationSeconds": 300, "cpuCores": 2}, "attempt": 1, "maxAttempts": 3,
        "retryOf": None, "notBefore": None, "createdAt": "2026-07-01T12:00:00.123Z", "queuedAt": None, "startedAt": None,
        "finishedAt": None, "result": None, "error": None, "artifacts": [], "usage": None, "receiptId": "run_1.1",
    }  # fmt: skip
    return run | changes
