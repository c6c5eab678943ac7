"""The HTTP side: one call, one answer, and every way it can fail as a `Failure` with its exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import quote

import httpx

from headgate import __version__
from headgate.cli.connection import Connection, is_local
from headgate.cli.exits import Exit, Failure
from headgate.core.errors import Code

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
STREAM_TIMEOUT = httpx.Timeout(30.0, connect=5.0, read=60.0)
"""A stream that says nothing, not even a comment, for a minute may be a dead connection: it is taken up again."""
LONG = httpx.Timeout(600.0, connect=5.0)
"""For questions that a server works on."""
TRIES = 3
"""How often a call that may be repeated is sent when its answer gets lost."""
PAGE = 200
"""Items a list gives at once, at most."""

_DENIED = frozenset({Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND})
_USAGE = frozenset(
    {
        Code.INVALID_REQUEST,
        Code.BODY_TOO_LARGE,
        Code.METHOD_NOT_ALLOWED,
        Code.IDEMPOTENCY_MISMATCH,
        Code.PRIORITY_CEILING,
        Code.NEVER_FITS,
    }
)
_CONFLICT = 409


class LostConnection(Failure):
    """The connection broke before or in an answer. Asking again may help; for a stream it is the rule."""


class Client:
    """Calls of one command to one server. Use as a context manager."""

    def __init__(self, connection: Connection) -> None:
        self.url = connection.url
        self._tenant = connection.tenant
        self._http = httpx.Client(
            base_url=connection.url,
            headers={"Authorization": f"Bearer {connection.key}", "User-Agent": f"headgate-cli/{__version__}"},
            timeout=TIMEOUT,
            trust_env=not is_local(connection.url),  # a proxy is of no use on the way to this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def tenant(self) -> str:
        """The tenant the command is about: the one asked for, else the only one this key sees."""
        if self._tenant is None:
            seen = self.get("/tenants", limit="2")["items"]
            if len(seen) != 1:
                raise Failure(
                    Exit.USAGE, f"this key sees {'several tenants' if seen else 'no tenant'}.", "Give --tenant."
                )
            self._tenant = str(seen[0]["tenantId"])
        return self._tenant

    def path(self, *parts: str) -> str:
        """The path of something of the tenant, quoted."""
        return "/".join(("", "tenants", *(quote(part, safe="") for part in (self.tenant, *parts))))

    def get(self, path: str, **query: str) -> Any:
        """The answer of a GET as JSON, asked again when it gets lost."""
        return self._json(self._repeated("GET", path, params=query))

    def text(self, path: str) -> str:
        """The answer of a GET as it is."""
        response = self._repeated("GET", path)
        if response.is_error:
            raise _refused(response)
        return response.text

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        """The answer of a POST as JSON. It is sent again when the answer gets lost: only for what may be said twice."""
        return self._json(self._repeated("POST", path, json=body, headers=headers))

    def ask(self, path: str, body: object) -> Any:
        """The answer of a POST that changes nothing and may take minutes, as JSON."""
        return self._json(self._repeated("POST", path, json=body, timeout=LONG))

    def put(self, path: str, body: object) -> Any:
        """The answer of a PUT as JSON; it may be said twice."""
        return self._json(self._repeated("PUT", path, json=body))

    def delete(self, path: str, **query: str) -> Any:
        """The answer of a DELETE as JSON; it may be said twice."""
        return self._json(self._repeated("DELETE", path, params=query))

    def pages(self, path: str, limit: int | None, **query: str) -> dict[str, Any]:
        """The first `limit` items of a list, or all; in the list's own shape."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            size = PAGE if limit is None else min(PAGE, limit - len(items))
            more = {"cursor": cursor} if cursor else {}
            page = self.get(path, limit=str(size), **query, **more)
            items += page["items"]
            cursor = page["nextCursor"]
            if cursor is None or len(items) == limit:
                return {"items": items, "nextCursor": cursor}

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str] | None = None, **query: str) -> Iterator[httpx.Response]:
        """An answer that is read as it comes. Raises LostConnection when it breaks, also while it is read."""
        with _transport(self.url):
            request = self._http.stream("GET", path, params=query, headers=headers, timeout=STREAM_TIMEOUT)
            with request as response:
                if response.is_error:
                    response.read()
                    raise _refused(response)
                yield response

    def _repeated(self, method: str, path: str, **parts: Any) -> httpx.Response:
        for attempt in range(1, TRIES + 1):
            try:
                with _transport(self.url):
                    return self._http.request(method, path, **parts)
            except LostConnection:
                if attempt == TRIES:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _json(self, response: httpx.Response) -> Any:
        if response.is_error:
            raise _refused(response)
        try:
            return response.json()
        except ValueError as error:
            raise _stranger(response) from error


@contextmanager
def _transport(url: str) -> Iterator[None]:
    """httpx's errors as ours."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        remedy = "Start it with `headgate up`, or name another with --url or HEADGATE_URL."
        raise Failure(Exit.UNREACHABLE, f"cannot reach a server at {url}.", remedy) from error
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise LostConnection(Exit.UNREACHABLE, f"the connection to {url} broke: {reason}.") from error
    except httpx.InvalidURL as error:
        raise Failure(Exit.USAGE, f"{url}: {error}.", "Give a URL as http://host:port.") from error


def _refused(response: httpx.Response) -> Failure:
    """The server's no, in its own words."""
    try:
        body = response.json()
    except ValueError:
        return _stranger(response)
    if not isinstance(body, dict) or not isinstance(body.get("code"), str):
        return _stranger(response)
    lines = [f"{body.get('error')} ({body['code']})", *_because(body)]
    if body.get("retryAfter") is not None:
        lines.append(f"Try again in {body['retryAfter']} s.")
    lines += [
        f"{name}: {body[key]}" for name, key in (("receipt", "receiptId"), ("request", "requestId")) if body.get(key)
    ]
    return Failure(exit_of(body["code"], response.status_code), *lines, document=body)


def _because(body: Mapping[str, object]) -> Iterator[str]:
    if body.get("field"):
        yield f"field: {body['field']}"
    yield from (str(body[key]) for key in ("reason", "message", "detail") if body.get(key))


def exit_of(code: str, status: int) -> Exit:
    """The exit code for a stable code: what may work later is FAILED, what never can is USAGE."""
    if code in _DENIED:
        return Exit.DENIED
    return Exit.USAGE if code in _USAGE and status != _CONFLICT else Exit.FAILED


def _stranger(response: httpx.Response) -> Failure:
    lines = (f"{response.url} answered {response.status_code}, not in headgate's words.", "Is another server there?")
    return Failure(Exit.UNREACHABLE, *lines)
