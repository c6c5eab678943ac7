"""Answers that take their time: events as they happen, output as it comes, files. ASGI all the way, no thread waits.

A stream that breaks loses nothing: events are numbered in the store, and `Last-Event-ID` goes on after the last one
seen, on this process or any other.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from headgate.core.access import Caller
from headgate.core.errors import NotFound, Unavailable
from headgate.core.run import TERMINAL, Artifact, Run, RunState
from headgate.flow.deps import Deps
from headgate.flow.overview import find_run
from headgate.web.auth import Authenticator
from headgate.web.correlation import REQUEST_ID
from headgate.web.feed import OUTPUT, Entry, entries_of, sequence_number
from headgate.web.names import checked_names, checked_query
from headgate.web.rates import RequestRates
from headgate.web.watch import Watch

HEARTBEAT_SECONDS = 15.0
RETRY_SECONDS = 1.0
EVENT_STREAM = "text/event-stream"

_RUN = "/tenants/{tenantId}/runs/{runId}"
_LIVE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_OPENING = b"retry: 1000\n\n"
_HEARTBEAT = b": still here\n\n"

Entries = list[Entry]
Endpoint = Callable[[Request], Awaitable[Response]]
Batches = AsyncGenerator[Entries, None]


class Streams:
    """The streams of one process."""

    def __init__(self, deps: Deps, authenticator: Authenticator, rates: RequestRates) -> None:
        self._deps = deps
        self._authenticator = authenticator
        self._rates = rates
        self._watch = Watch(deps)

    def routes(self) -> Sequence[BaseRoute]:
        """What is answered here; everything else of the same paths is not."""
        return (
            _Where(f"{_RUN}/events", _telling_the_rate(self._events), _accepts_event_stream),
            _Where(f"{_RUN}/log", _telling_the_rate(self._log), _wants_to_follow),
            Route(f"{_RUN}/artifacts/{{name}}", _telling_the_rate(self._artifact), methods=["GET"]),
        )

    def end(self) -> None:
        """End the open streams, so that the server can stop. From any thread."""
        self._watch.end()

    def close(self) -> None:
        """Give the threads back."""
        self._watch.close()

    # --- the three of them

    async def _events(self, request: Request) -> Response:
        query = checked_query(request.query_params.multi_items(), {"after"})
        run = await self._run(request)
        last = request.headers.get("last-event-id")
        field, text = ("Last-Event-ID", last) if last else ("after", query.get("after", "0"))
        after = sequence_number(text, field)
        if run.state in TERMINAL and after >= run.event_seq:
            return Response(status_code=204)  # the one answer on which an EventSource stops asking
        return _Live(self._as_sse(run, after), media_type=EVENT_STREAM, headers=_LIVE_HEADERS)

    async def _log(self, request: Request) -> Response:
        checked_query(request.query_params.multi_items(), {"follow"})
        run = await self._run(request)
        return _Live(self._as_text(run), media_type="text/plain; charset=utf-8", headers=_LIVE_HEADERS)

    async def _artifact(self, request: Request) -> Response:
        checked_query(request.query_params.multi_items(), set())
        run = await self._run(request)
        name = request.path_params["name"]
        artifact = next((artifact for artifact in run.artifacts if artifact.name == name), None)
        if artifact is None:
            raise NotFound(f"Run {run.id} has no artifact {name!r}.")
        folder = tempfile.TemporaryDirectory(prefix="headgate-artifact-", ignore_cleanup_errors=True)
        try:
            path = await self._watch.read(lambda: self._fetch(artifact, Path(folder.name)))
        except BaseException:
            folder.cleanup()
            raise
        return _Download(artifact, path, folder)

    # --- what they share

    async def _run(self, request: Request) -> Run:
        """The run of the path, if the caller may see it."""
        caller = await self._watch.read(lambda: self._caller(request))
        checked_names(request.path_params)
        return await self._watch.read(lambda: self._find(caller, request))

    def _caller(self, request: Request) -> Caller:
        caller = self._authenticator.authenticate(request.headers)
        taken = self._rates.take(caller, request.headers[REQUEST_ID])
        request.state.rate = taken.headers
        if taken.refusal is not None:
            raise taken.refusal
        return caller

    def _find(self, caller: Caller, request: Request) -> Run:
        return find_run(self._deps, caller, request.path_params["tenantId"], request.path_params["runId"])

    def _fetch(self, artifact: Artifact, folder: Path) -> Path:
        try:
            return self._deps.artifacts.fetch(artifact, folder)
        except FileNotFoundError:
            raise NotFound(f"The artifact {artifact.name!r} is no longer kept.") from None
        except OSError as error:
            raise Unavailable(f"The artifact {artifact.name!r} cannot be read now.") from error

    async def _batches(self, run: Run, after: int, wants_line: bool = False) -> Batches:
        """What happens to the run after the event `after`, until it has ended; an empty batch is a sign of life."""
        with self._watch.follow(run.id, after, wants_line) as follower:
            while not self._watch.ending:
                follower.reading()
                patience = HEARTBEAT_SECONDS
                try:
                    found = await self._watch.read(lambda: self._look(run.id, follower.seen))
                except Unavailable:
                    patience = RETRY_SECONDS  # the poller reports it; the stream stays and looks again
                else:
                    if found is None:
                        return  # retention has removed it
                    now, entries = found
                    line = follower.take_line()  # taken in any case: of a run that has left the line it is old
                    if now.state is RunState.QUEUED:
                        entries = [*entries, *line]
                    if entries:
                        yield entries
                    follower.seen = max(follower.seen, now.event_seq)
                    if now.state in TERMINAL:
                        return
                if not await follower.news(patience):
                    yield []

    def _look(self, run_id: str, after: int) -> tuple[Run, Entries] | None:
        run = self._deps.store.get(Run, run_id)
        return None if run is None else (run, entries_of(self._deps, run, after))

    async def _as_sse(self, run: Run, after: int) -> AsyncGenerator[bytes, None]:
        yield _OPENING
        async with contextlib.aclosing(self._batches(run, after, wants_line=True)) as batches:
            async for entries in batches:
                yield b"".join(entry.as_sse() for entry in entries) or _HEARTBEAT

    async def _as_text(self, run: Run) -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(self._batches(run, 0)) as batches:
            async for entries in batches:
                text = "".join(str(entry.data["text"]) for entry in entries if entry.type == OUTPUT)
                if text:
                    yield text.encode("utf-8", "replace")


def _telling_the_rate(endpoint: Endpoint) -> Endpoint:
    """The endpoint, whose answer says how many requests the tenant has left."""

    async def told(request: Request) -> Response:
        response = await endpoint(request)
        response.headers.update(request.state.rate)
        return response

    return told


class _Where(Route):
    """A route for those GETs alone that want what it has."""

    def __init__(self, path: str, endpoint: Callable[..., object], wanted: Callable[[Request], bool]) -> None:
        super().__init__(path, endpoint, methods=["GET"])
        self._wanted = wanted

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.FULL and scope["method"] == "GET" and self._wanted(Request(scope)):
            return match, child
        return Match.NONE, {}


def _accepts_event_stream(request: Request) -> bool:
    accepted = (part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(","))
    return EVENT_STREAM in accepted


def _wants_to_follow(request: Request) -> bool:
    return request.query_params.getlist("follow") == ["true"]


class _Live(StreamingResponse):
    """A stream whose source is closed when the client leaves, not when somebody collects the garbage."""

    body_iterator: AsyncGenerator[bytes, None]

    async def stream_response(self, send: Send) -> None:
        async with contextlib.aclosing(self.body_iterator):
            await super().stream_response(send)


class _Download(FileResponse):
    """A file that is saved, never shown: its content is somebody's own. The folder of a copy goes with the answer."""

    def __init__(self, artifact: Artifact, path: Path, folder: tempfile.TemporaryDirectory[str]) -> None:
        headers = {"ETag": f'"{artifact.sha256}"', "Cache-Control": "private, no-cache"}
        super().__init__(path, headers=headers, media_type=artifact.media_type, filename=artifact.name)
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._folder:
            await super().__call__(scope, receive, send)
