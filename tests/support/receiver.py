"""A real HTTP server on 127.0.0.1 that takes pushes: what a worker is to Pub/Sub."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from headgate.delivery.envelope import parse
from headgate.delivery.port import Message

Take = Callable[[str, Message], int]
"""Given the path and the message: the status to answer."""


@contextlib.contextmanager
def receiving(take: Take) -> Iterator[str]:
    """The server's URL. A body that is no message answers 500."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status = take(self.path, parse(body, dict(self.headers)).message)
            except Exception as error:
                print(f"push not taken: {error!r}: {body!r}")
                status = 500
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
