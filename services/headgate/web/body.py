"""The buffer before threads: a request's body is read whole before a thread is taken, and an answer is sent only after
the thread is free. Neither a sender that stalls nor a reader that stalls can hold one of the few threads.
"""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headgate.core.errors import BodyTooLarge, BodyTooSlow, InvalidRequest

MAX_BODY = 1024 * 1024
"""Bytes of a request's body."""
PATIENCE = 10.0
"""Seconds that a body may take to arrive."""


class BodyFirst:
    """An ASGI app around one whose requests and answers are whole.

    Raises BodyTooLarge, BodyTooSlow, ClientDisconnect: whoever is in front of it answers.
    """

    def __init__(self, app: ASGIApp, max_body: int = MAX_BODY, patience: float = PATIENCE) -> None:
        self._app = app
        self._max_body = max_body
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        self._check_length(scope)
        try:
            body = await asyncio.wait_for(self._read(receive), self._patience)
        except TimeoutError:
            raise BodyTooSlow(f"The body did not arrive within {self._patience:g} s. Send it again.") from None
        answer: list[Message] = []

        async def take(message: Message) -> None:
            answer.append(message)

        await self._app({**scope, "headers": _whole(scope, len(body))}, _once(body), take)
        for message in answer:
            await send(message)

    def _check_length(self, scope: Scope) -> None:
        """Refuse by the announced length, before anything is read."""
        for name, value in scope["headers"]:
            if name.lower() != b"content-length":
                continue
            if not value.isdigit() or len(value) > 19:
                raise InvalidRequest("Content-Length must be a whole number.", field="Content-Length")
            if int(value) > self._max_body:
                raise self._too_large()

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self._max_body:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body has more than {self._max_body} bytes. Send less.")


def _whole(scope: Scope, length: int) -> list[tuple[bytes, bytes]]:
    """Headers for a body that is all there: WSGI reads nothing of a chunked one without a length."""
    framing = (b"content-length", b"transfer-encoding")
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in framing]
    return [*kept, (b"content-length", str(length).encode())]


def _once(body: bytes) -> Receive:
    """The body, then silence: an app that asks again is told that the caller has gone."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
