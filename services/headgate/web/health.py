"""Probes: alive, ready. They need no key, tell nothing of the inside, and wait for nobody: neither for the threads of
the API, all of which a silent store may hold, nor for each other.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from headgate.core.errors import Unavailable
from headgate.delivery.port import DeliveryDown
from headgate.flow.deps import Deps
from headgate.handlers.sandbox import known_layers
from headgate.web.names import checked_query

ALIVE, READY = "/healthz", "/readyz"
PATIENCE_SECONDS = 3.0
"""How long a probe of readiness waits at most; both checks go on at the same time."""
RETRY_SECONDS = 5

_HEADERS = {"Cache-Control": "no-store"}


class Health:
    """`/healthz` and `/readyz` of one process."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="ready")
        self._checks = {
            "store": _Check(self._store_is_up, self._pool),
            "delivery": _Check(self._delivery_is_up, self._pool),
        }

    def routes(self) -> Sequence[BaseRoute]:
        """What is answered here; other methods of the same paths are not."""
        return Route(ALIVE, self._alive, methods=["GET"]), Route(READY, self._ready, methods=["GET"])

    def close(self) -> None:
        """Give the threads back."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _alive(self, request: Request) -> Response:
        """The process answers."""
        checked_query(request.query_params.multi_items(), ())
        return JSONResponse({"status": "ok"}, headers=_HEADERS)

    async def _ready(self, request: Request) -> Response:
        """Whether store and delivery would take work now; why not is in the log."""
        checked_query(request.query_params.multi_items(), ())
        up = dict(zip(self._checks, await asyncio.gather(*map(self._up, self._checks)), strict=True))
        checks = {name: "ok" if fine else "down" for name, fine in up.items()}
        facts = {"checks": checks, "sandbox": known_layers()}
        if all(up.values()):
            return JSONResponse({"status": "ready", **facts}, headers=_HEADERS)
        return JSONResponse({"status": "unready", **facts}, 503, {**_HEADERS, "Retry-After": str(RETRY_SECONDS)})

    async def _up(self, name: str) -> bool:
        up = await self._checks[name].up(PATIENCE_SECONDS)
        if up is None:
            self._deps.telemetry.warning("ready.no_answer", check=name, seconds=PATIENCE_SECONDS)
        return bool(up)

    def _store_is_up(self) -> bool:
        try:
            self._deps.store.ping()
        except Unavailable as down:
            self._deps.telemetry.warning("ready.store_down", detail=down.detail)
            return False
        return True

    def _delivery_is_up(self) -> bool:
        try:
            self._deps.delivery.ping(PATIENCE_SECONDS)
        except DeliveryDown as down:
            self._deps.telemetry.warning("ready.delivery_down", detail=str(down))
            return False
        return True


class _Check:
    """One question with a thread of its own: whoever comes while it is being asked shares the answer."""

    def __init__(self, ask: Callable[[], bool], pool: Executor) -> None:
        self._ask = ask
        self._pool = pool
        self._asked: asyncio.Future[bool] | None = None

    async def up(self, patience: float) -> bool | None:
        """The answer; None when there is none within `patience` seconds. What goes on then is waited for next time."""
        if self._asked is None or self._asked.done():
            context = contextvars.copy_context()  # its lines in the log carry the request's id
            self._asked = asyncio.get_running_loop().run_in_executor(self._pool, context.run, self._ask)
        asked = self._asked
        done, _ = await asyncio.wait([asked], timeout=patience)
        return asked.result() if done else None
