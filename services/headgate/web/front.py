"""The front: one ASGI app before everything that HTTP brings.

It gives every request its id, answers probes and streams itself, and hands the rest to WSGI apps by the beginning of the path,
each with threads of its own, behind a buffer. Whatever goes wrong on the way answers as JSON in our shape.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from wsgiref.types import WSGIApplication

from a2wsgi import WSGIMiddleware
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match, NoMatchFound, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headgate.core.errors import HeadgateError, InvalidRequest, NotFound, Unavailable
from headgate.flow.deps import Deps
from headgate.telemetry.logs import correlated
from headgate.web import problems
from headgate.web.body import BodyFirst
from headgate.web.correlation import REQUEST_ID, Correlation, correlation_of
from headgate.web.health import ALIVE, READY, Health
from headgate.web.problems import Problem
from headgate.web.streams import Streams

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

THREADS = 32
"""Of each WSGI app: so many requests of it are answered at once, the others wait in memory."""
QUIET = frozenset({ALIVE, READY})
"""Asked so often that a good answer is not worth a line."""
_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)


class Front:
    """The app. `wsgi` maps the beginning of a path (`""` = everything else) to the app that answers below it.

    Apps see the whole path. `threads` of an app are how many requests of it are answered at once. `routes` are further
    ASGI routes, asked before the WSGI apps. `lifespan` is entered when the server starts and left when it stops.
    """

    def __init__(
        self,
        deps: Deps,
        streams: Streams,
        wsgi: Mapping[str, WSGIApplication],
        *,
        routes: Iterable[BaseRoute] = (),
        threads: Mapping[str, int] | None = None,
        lifespan: Lifespan | None = None,
    ) -> None:
        self._deps = deps
        self._streams = streams
        self._health = Health(deps)
        workers = {prefix: (threads or {}).get(prefix, THREADS) for prefix in wsgi}
        self._bridges = {prefix: WSGIMiddleware(app, workers=workers[prefix]) for prefix, app in wsgi.items()}  # type: ignore[arg-type]  # its own words for the same protocol
        below = [_Below(prefix, BodyFirst(self._bridges[prefix])) for prefix in sorted(wsgi, key=len, reverse=True)]  # type: ignore[arg-type]  # as above
        self._lifespan = lifespan
        every = [*self._health.routes(), *streams.routes(), *routes, *below]
        self._router = Router(every, redirect_slashes=False, default=_nowhere, lifespan=self._living)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        started = self._deps.timing.monotonic()
        correlation = correlation_of(Headers(scope=scope), self._deps.ids)
        scope = {**scope, "headers": correlation.replaced(scope["headers"]), "path": _path(scope["path"])}
        answer = _Answer(send, correlation)
        with correlated(request_id=correlation.request_id, traceparent=correlation.traceparent):
            try:
                await self._answer(scope, receive, answer)
            finally:
                self._log(scope, answer, self._deps.timing.monotonic() - started)

    def end_streams(self) -> None:
        """End the open streams, so that the server can stop without waiting for their clients. From any thread."""
        self._streams.end()

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            if not scope["query_string"].isascii():
                raise InvalidRequest("The query must be ASCII: write other characters as %XX.")
            await self._router(scope, receive, answer.send)
        except ClientDisconnect:
            return  # nobody is left to answer
        except HeadgateError as error:
            if answer.status is not None:
                raise
            if isinstance(error, Unavailable):
                self._deps.telemetry.warning("http.unavailable", reason=str(error.code), path=scope["path"])
            await answer.problem(problems.of_error(error, answer.request_id), scope, receive)
        except Exception as error:
            self._deps.telemetry.error("http.error", error, method=scope["method"], path=scope["path"])
            if answer.status is not None:
                raise  # half an answer is out: the server must break the connection
            await answer.problem(problems.internal(answer.request_id), scope, receive)

    def _log(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        path, status = scope["path"], answer.status
        if path in QUIET and status == 200:
            return
        facts = {"method": scope["method"], "path": path, "status": status, "ms": round(seconds * 1000, 1)}
        self._deps.telemetry.info("http.answered" if status else "http.abandoned", **facts)

    @contextlib.asynccontextmanager
    async def _living(self, app: object) -> AsyncIterator[None]:
        try:
            async with self._lifespan(app) if self._lifespan else contextlib.nullcontext():
                yield
        finally:
            self._streams.close()
            self._health.close()
            for bridge in self._bridges.values():
                bridge.executor.shutdown(wait=False, cancel_futures=True)


class _Answer:
    """The way out: puts the request id on every answer and remembers its status."""

    def __init__(self, send: Send, correlation: Correlation) -> None:
        self._send = send
        self.request_id = correlation.request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            headers[REQUEST_ID] = self.request_id
            headers["x-content-type-options"] = "nosniff"
            message = {**message, "headers": headers.raw}
        await self._send(message)

    async def problem(self, problem: Problem, scope: Scope, receive: Receive) -> None:
        """Answer no. The connection closes with it: the rest of a body may still be on its way."""
        headers = {**problem.headers, "Connection": "close", "Cache-Control": "no-store"}
        await JSONResponse(problem.body, problem.status, headers)(scope, receive, self.send)


class _Below(BaseRoute):
    """Every path at or below a prefix, unchanged."""

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        self._prefix = prefix.rstrip("/")
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See Starlette."""
        path = scope.get("path", "")
        here = scope["type"] == "http" and (path == self._prefix or path.startswith(f"{self._prefix}/"))
        return (Match.FULL if here else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """See Starlette: these have no names."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Starlette."""
        await self._app(scope, receive, send)


def _path(target: str) -> str:
    """The path of a request line, which may name the whole URL: `GET http://host/path HTTP/1.1` is the same request."""
    absolute = _ABSOLUTE.match(target)
    return target[absolute.end() :] or "/" if absolute else target


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        raise NotFound(f"There is nothing at {scope['path'][:200]!r}.")
    await send({"type": "websocket.close"})
