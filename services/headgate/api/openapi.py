"""The OpenAPI 3.1 document, made from the table of operations and the models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from headgate import __version__
from headgate.api.models import ErrorAnswer
from headgate.api.operation import JSON, Answer, Content, Operation, refuses
from headgate.api.operations import OPERATIONS
from headgate.core.errors import Code
from headgate.web.rates import POLICY, STATE

_REF = "#/components/schemas/{model}"
_COMMON: Mapping[int, str] = {
    400: "something in the request is wrong; `field` names it",
    408: "the body did not arrive within 10 seconds",
    413: "the body has more than 1 MiB, or its input more than 512 KiB",
    500: "a bug of ours; the log has it under the requestId",
    503: "the store does not answer; try again after Retry-After",
}
_BEHIND_A_KEY: Mapping[int, str] = {
    401: "no API key, or one that is not known",
    403: "the key's role does not allow this",
}
_HEADERS: Mapping[str, Mapping[str, Any]] = {
    "Location": {"description": "the run's path", "schema": {"type": "string"}},
    "Idempotency-Replayed": {"description": "the answer of an earlier submission", "schema": {"const": "true"}},
    "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"schema": {"type": "string"}},
    STATE: {
        "description": "requests left of the tenant's burst (r), seconds until all are there again (t); "
        "not for operators",
        "schema": {"type": "string", "examples": ['"tenant";r=499;t=1']},
    },
    POLICY: {
        "description": "the tenant's burst (q), and the seconds that fill it (w)",
        "schema": {"type": "string", "examples": ['"tenant";q=500;w=5']},
    },
}
_LIMITED = {
    "error": "Concurrency limit exceeded",
    "reason": "Concurrent run limit reached (5 concurrent runs on Pro plan). Wait for existing runs to complete.",
    "currentUsage": 5,
    "limit": 5,
    "plan": "pro",
    "retryAfter": 30,
    "code": "PLAN_LIMIT_CONCURRENCY",
    "receiptId": "rcpt_0123456789abcdefghjk",
    "requestId": "req_0123456789abcdefghjk",
}
_INVALID = {
    "error": "Invalid request",
    "code": "INVALID_REQUEST",
    "detail": "kind is missing.",
    "field": "kind",
    "requestId": "req_0123456789abcdefghjk",
}
_EXAMPLES: Mapping[int, Mapping[str, Any]] = {400: _INVALID, 429: _LIMITED}


def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "headgate",
            "version": __version__,
            "summary": "A multi-tenant run control plane",
            "description": f"Errors carry stable codes: {', '.join(Code)}.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": "an API key: hg_…"},
            },
        },
        "security": [{"apiKey": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {
            str(status): _answer(status, answer, operation) for status, answer in sorted(_answers(operation).items())
        },
    }
    if operation.public:
        found["security"] = []
    if operation.body is not None:
        content = {JSON: {"schema": _schema(operation.body)}}
        found["requestBody"] = {"required": not operation.body_optional, "content": content}
    return found


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    query = [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in operation.query.items()]
    header = [{"name": name, "in": "header", "schema": dict(schema)} for name, schema in operation.headers.items()]
    return [*path, *query, *header]


def _answers(operation: Operation) -> dict[int, Answer]:
    """Its own answers, and those that any operation of its sort can give."""
    common = dict(_COMMON)
    if not operation.public:
        common |= _BEHIND_A_KEY
    if "{" in operation.path:
        common[404] = "there is no such thing, or not for this caller"
    errors = {status: _error(status, means) for status, means in common.items()}
    if not operation.public:
        errors[429] = refuses("too many requests of the tenant")
    return {**errors, **operation.answers}


def _error(status: int, means: str) -> Answer:
    headers = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}.get(status, ())
    return Answer(means=means, content={JSON: ErrorAnswer}, headers=headers)


def _answer(status: int, answer: Answer, operation: Operation) -> dict[str, Any]:
    request_id = {"description": "of this request, in every log line of it", "schema": {"type": "string"}}
    named = answer.headers if operation.public or status >= 400 else (*answer.headers, POLICY, STATE)
    headers = {name: dict(_HEADERS[name]) for name in named} | {"X-Request-Id": request_id}
    found: dict[str, Any] = {"description": f"{HTTPStatus(status).phrase}: {answer.means}", "headers": headers}
    if answer.content:
        found["content"] = {media: {"schema": _schema(content)} for media, content in answer.content.items()}
    if status in _EXAMPLES:
        found["content"][JSON]["example"] = dict(_EXAMPLES[status])
    return found


def _schema(content: Content) -> dict[str, Any]:
    if isinstance(content, tuple):
        return {"anyOf": [_schema(model) for model in content]}
    if isinstance(content, type):
        return {"$ref": _REF.format(model=content.__name__)}
    return dict(content)


def _schemas() -> dict[str, Any]:
    asked = {operation.body for operation in OPERATIONS if operation.body is not None}
    given: set[type[BaseModel]] = set()
    for operation in OPERATIONS:
        for answer in _answers(operation).values():
            for content in answer.content.values():
                parts = content if isinstance(content, tuple) else (content,)
                given |= {part for part in parts if isinstance(part, type)}
    by_name = [(model, "validation") for model in asked] + [(model, "serialization") for model in given]
    by_name.sort(key=lambda pair: pair[0].__name__)
    _, schema = models_json_schema(by_name, ref_template=_REF)  # type: ignore[arg-type]  # the two words are literals
    found: dict[str, Any] = schema["$defs"]
    return found
