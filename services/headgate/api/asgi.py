"""The API as a service of its own: `gunicorn -k uvicorn_worker.UvicornWorker 'headgate.api.asgi:app()'`.

Each process builds its own system after the fork. It executes nothing: what it admits goes to the broker, and the sweep
is the worker's. What the store needs is made at the start, by whichever process comes first.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from headgate import wiring
from headgate.api.front import build_front
from headgate.flow import setup
from headgate.settings import load_settings_from_environment
from headgate.web.front import Front


def app() -> Front:
    """The application of this process. Raises what a start must stop for: see wiring.build, and Unavailable."""
    system = wiring.build(load_settings_from_environment())
    setup.prepare(system.deps, system.dispatcher)

    @contextlib.asynccontextmanager
    async def living(app: object) -> AsyncIterator[None]:
        system.start()
        try:
            yield
        finally:
            system.close()

    return build_front(system, lifespan=living)
