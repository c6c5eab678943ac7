"""Bodies as JSON, whatever Content-Type says, and only JSON that can be kept: anything else is the caller's mistake."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from headgate.core import strict_json
from headgate.core.errors import InvalidRequest

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 64
"""Levels of lists and objects: what is deeper no program means, and some stores refuse."""


def read(model: type[M], body: bytes, *, optional: bool = False) -> M:
    """The body as a model; an absent one is `{}` where it is optional. Raises InvalidRequest with the field named."""
    if not body.strip():
        if not optional:
            raise InvalidRequest("The body is empty: send a JSON object.")
        body = b"{}"
    try:
        value = strict_json.parse(body)
    except ValueError as error:
        raise InvalidRequest(f"The body is not JSON in UTF-8: {str(error)[:200]}.") from None
    _check_storable(value)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return as_model(model, value)


def as_model(model: type[M], value: dict[str, Any]) -> M:
    """A JSON object as a model. Raises InvalidRequest with the field named."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _invalid(model, error.errors(include_url=False, include_input=False)[0]) from None


def _check_storable(value: object) -> None:
    """Raises InvalidRequest for what Python's JSON lets through and no store can keep. Not recursive, on purpose."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            else:
                _check_scalar(item)
        level = below


def _check_scalar(value: object) -> None:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise InvalidRequest("The body holds half of a surrogate pair (\\ud800 to \\udfff): that is no character.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRequest("The body holds a number beyond the range of a 64-bit float.")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidRequest("The body holds a whole number beyond 64 bits: write it as a string.")


def _invalid(model: type[BaseModel], problem: ErrorDetails) -> InvalidRequest:
    field = _path(problem["loc"])
    if problem["type"] == "extra_forbidden":
        return InvalidRequest(f"There is no field {field!r}. {_known(model, problem['loc'])}", field=field)
    if problem["type"] == "missing":
        return InvalidRequest(f"{field} is missing.", field=field)
    said = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return InvalidRequest(f"{field} {said}.", field=field)


def _path(loc: tuple[int | str, ...]) -> str:
    """`("labels", "team")` gives `labels.team`, list items `[0]`; bounded, for names are the caller's."""
    path = ""
    for part in loc:
        if part == "[key]":
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".")[:200]


def _known(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    if len(loc) > 1:
        return "Leave it out."
    names = sorted(field.alias or name for name, field in model.model_fields.items())
    return f"Known are {', '.join(names)}." if names else "Leave it out."
