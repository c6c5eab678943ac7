"""Every request gets an id, every error an answer: JSON in the one shape, whatever went wrong."""

from __future__ import annotations

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from headgate.core.errors import HeadgateError, InvalidRequest, MethodNotAllowed, NotFound, Unavailable
from headgate.flow.deps import Deps
from headgate.web import problems
from headgate.web.correlation import REQUEST_ID, Correlation, correlation_of
from headgate.web.problems import Problem


class Stopping(Unavailable):
    """This process stops: somebody else does it. Nothing is wrong with the store."""


def answer_errors(app: Flask, deps: Deps) -> None:
    """Name the requests of `app`, and answer what they raise."""

    @app.before_request
    def name_request() -> None:
        g.correlation = correlation_of({name.lower(): value for name, value in request.headers}, deps.ids)

    @app.after_request
    def say_name(response: Response) -> Response:
        response.headers[REQUEST_ID] = correlation().request_id
        return response

    @app.errorhandler(HTTPException)
    def routing(error: HTTPException) -> Response:
        answer = _answer(problems.of_error(_ours(error), correlation().request_id))
        answer.headers.extend(header for header in error.get_headers() if header[0] == "Allow")
        return answer

    @app.errorhandler(HeadgateError)
    def ours(error: HeadgateError) -> Response:
        if isinstance(error, Unavailable) and not isinstance(error, Stopping):
            deps.telemetry.warning("http.unavailable", reason=str(error.code), path=request.path)
        problem = problems.of_error(error, correlation().request_id)
        return bug(error) if problem.status == 500 else _answer(problem)

    @app.errorhandler(Exception)
    def bug(error: Exception) -> Response:
        request_id = correlation().request_id
        deps.telemetry.error("http.error", error, path=request.path, request_id=request_id)
        return _answer(problems.internal(request_id))


def correlation() -> Correlation:
    """That of the request under way."""
    found: Correlation = g.correlation
    return found


def _answer(problem: Problem) -> Response:
    response = jsonify(problem.body)
    response.status_code = problem.status
    response.headers.update(problem.headers)
    return response


def _ours(error: HTTPException) -> HeadgateError:
    """What Flask itself refuses, in our words."""
    if error.code == 404:
        return NotFound(f"There is nothing at {request.path!r}.")
    if error.code == 405:
        return MethodNotAllowed(f"{request.path!r} takes POST, not {request.method}.")
    return InvalidRequest(error.description or "The request cannot be read.")
