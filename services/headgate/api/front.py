"""The API as it is served: the Flask app and the streams behind one front."""

from __future__ import annotations

from collections.abc import Mapping
from wsgiref.types import WSGIApplication

from headgate.api.app import create_api
from headgate.web.auth import Authenticator
from headgate.web.front import Front, Lifespan
from headgate.web.rates import RequestRates
from headgate.web.streams import Streams
from headgate.wiring import System


def build_front(
    system: System,
    extra_wsgi: Mapping[str, WSGIApplication] | None = None,
    *,
    threads: Mapping[str, int] | None = None,
    lifespan: Lifespan | None = None,
) -> Front:
    """One ASGI app of one process.

    `extra_wsgi` maps beginnings of paths (`/pubsub`) to further WSGI apps, which see the whole path and have threads of
    their own; `threads` says how many, where the usual number is not it. Call the front's `end_streams` when the server
    is told to stop.
    """
    authenticator = Authenticator(system.deps.store, system.deps.timing)
    rates = RequestRates(system.deps, system.settings.instances)
    streams = Streams(system.deps, authenticator, rates)
    api: WSGIApplication = create_api(system, authenticator, rates)
    return Front(system.deps, streams, {**(extra_wsgi or {}), "": api}, threads=threads, lifespan=lifespan)
