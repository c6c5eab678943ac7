"""The API as a Flask app: request and answer only. Streams and probes are answered before it, by web.front."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from headgate.api.bulk import BulkViews
from headgate.api.dead_letters import DeadLetterViews
from headgate.api.exchange import Ask, Reply, View
from headgate.api.insights import InsightViews
from headgate.api.keys import KeyViews
from headgate.api.limits import LimitViews
from headgate.api.metrics import METRICS_PATH, MetricsViews
from headgate.api.openapi import document
from headgate.api.operation import Operation
from headgate.api.operations import OPERATIONS
from headgate.api.pressure import PressureViews
from headgate.api.runs import RunViews
from headgate.api.switches import SwitchViews
from headgate.api.tenants import TenantViews
from headgate.core.access import Caller
from headgate.core.errors import BodyTooLarge, HeadgateError, InvalidRequest, MethodNotAllowed, NotFound, Unavailable
from headgate.web import problems
from headgate.web.auth import Authenticator
from headgate.web.body import MAX_BODY
from headgate.web.correlation import Correlation, correlation_of
from headgate.web.names import checked_names, checked_query
from headgate.web.problems import Problem
from headgate.web.rates import RequestRates
from headgate.wiring import System

LOOPBACK = frozenset({"127.0.0.1", "::1"})
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")


def create_api(system: System, authenticator: Authenticator | None = None, rates: RequestRates | None = None) -> Flask:
    """The app over a process's parts. Works with and without the front before it."""
    app = Flask("headgate.api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.merge_slashes = False  # a redirect would answer in HTML
    authenticator = authenticator or Authenticator(system.deps.store, system.deps.timing)
    rim = _Rim(system, authenticator, rates or RequestRates(system.deps, system.settings.instances))
    for operation, view in _views(system):
        rule = operation.path.replace("{", "<").replace("}", ">")
        answer = rim.around(operation, view)
        # Flask's own answer to OPTIONS is an empty page of HTML, without a key: ours is 405 like that of any other.
        app.add_url_rule(rule, operation.name, answer, methods=[operation.method], provide_automatic_options=False)
    for wrong in (HeadgateError, HTTPException, Exception):
        app.register_error_handler(wrong, rim.failed)
    return app


def _views(system: System) -> list[tuple[Operation, View]]:
    """Each operation with its view."""
    openapi = document()
    views: dict[str, View] = {"getOpenapi": lambda ask: Reply(body=openapi)}
    for group in (
        RunViews,
        TenantViews,
        BulkViews,
        SwitchViews,
        DeadLetterViews,
        LimitViews,
        InsightViews,
        PressureViews,
        MetricsViews,
        KeyViews,
    ):
        views |= group(system).views()
    return [(operation, views[operation.name] if operation.here else _elsewhere) for operation in OPERATIONS]


def _elsewhere(ask: Ask) -> Reply:
    """What the front answers before us; the route is known here so that its other methods are told apart (405)."""
    raise NotFound("This is served by the front, which is not there.")


class _Rim:
    """Between Flask and the views: who asks, what was asked, and how it is answered."""

    def __init__(self, system: System, authenticator: Authenticator, rates: RequestRates) -> None:
        self._deps = system.deps
        self._authenticator = authenticator
        self._rates = rates
        self._open = {METRICS_PATH} if system.settings.metrics == "local" else set[str]()

    def around(self, operation: Operation, view: View) -> Callable[..., Response]:
        """The view as Flask calls it. A key is asked for first: without one nothing else is told."""

        def answer(**path: str) -> Response:
            caller = None if operation.public or self._open_here(operation) else self._caller()
            query = checked_query(request.args.items(multi=True), operation.query)
            checked_names(path)
            ask = Ask(
                path=path,
                query=query,
                headers=_headers(),
                body=request.get_data(cache=False),
                correlation=self._correlation(),
                known=caller,
            )
            return self._response(view(ask))

        return answer

    def _open_here(self, operation: Operation) -> bool:
        """Whether a setting opens the operation to this machine; what a proxy forwards does not come from here."""
        forwarded = any(name in request.headers for name in FORWARDED)
        return operation.path in self._open and not forwarded and request.remote_addr in LOOPBACK

    def _caller(self) -> Caller:
        """Who asks, if there is a token left for the tenant; its answer says how many, whatever becomes of it."""
        caller = self._authenticator.authenticate(_headers())
        taken = self._rates.take(caller, self._correlation().request_id)
        request.environ["headgate.rate"] = taken.headers
        if taken.refusal is not None:
            raise taken.refusal
        return caller

    def failed(self, error: Exception) -> Response:
        """The answer to whatever went wrong; what we did not foresee is logged with its trace and not shown."""
        request_id = self._correlation().request_id
        headers: Mapping[str, str] = {}
        if isinstance(error, HTTPException):
            headers = _allowed(error)
            error = _ours(error)
        if isinstance(error, Unavailable):
            self._deps.telemetry.warning("http.unavailable", reason=str(error.code), path=request.path)
        if isinstance(error, HeadgateError):
            problem = problems.of_error(error, request_id)
        else:
            self._deps.telemetry.error("http.error", error, method=request.method, path=request.path)
            problem = problems.internal(request_id)
        return self._response(_reply(problem, headers))

    def _correlation(self) -> Correlation:
        """The request's own, decided once: the front, where there is one, has put it into the headers."""
        found = request.environ.get("headgate.correlation")
        if not isinstance(found, Correlation):
            found = request.environ["headgate.correlation"] = correlation_of(_headers(), self._deps.ids)
        return found

    def _response(self, reply: Reply) -> Response:
        if isinstance(reply.body, str):
            response = Response(reply.body.encode("utf-8", "replace"), mimetype="text/plain")
        else:
            response = Response(json.dumps(reply.body, separators=(",", ":")), mimetype="application/json")
        response.status_code = reply.status
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Request-Id"] = self._correlation().request_id
        response.headers.update(dict(request.environ.get("headgate.rate", {})))
        response.headers.update(dict(reply.headers))
        return response


def _reply(problem: Problem, headers: Mapping[str, str]) -> Reply:
    return Reply(status=problem.status, body=problem.body, headers={**problem.headers, **headers})


def _headers() -> dict[str, str]:
    """The request's headers, their names in small letters."""
    return {name.lower(): value for name, value in request.headers.items()}


def _allowed(error: HTTPException) -> dict[str, str]:
    methods = error.valid_methods if isinstance(error, WrongMethod) else None
    return {"Allow": ", ".join(sorted(methods))} if methods else {}


def _ours(error: HTTPException) -> Exception:
    """Werkzeug's errors in our words."""
    if error.code == 404:
        return NotFound(f"There is nothing at {request.path[:200]!r}.")
    if error.code == 405:
        return MethodNotAllowed(f"{request.method[:20]} is not for {request.path[:200]!r}: see the header Allow.")
    if isinstance(error, RequestEntityTooLarge):
        return BodyTooLarge(f"The body has more than {MAX_BODY} bytes. Send less.")
    if error.code is not None and 400 <= error.code < 500:
        return InvalidRequest(f"{error.name}: {error.description}")
    return error
