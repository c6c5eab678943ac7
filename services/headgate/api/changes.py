"""What audit records keep of a change, as the API tells it: times in RFC 3339, keys in camelCase like everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from headgate.web.moments import rfc3339

_FIELD = re.compile(r"[a-z]+(_[a-z]+)+")
"""A name of ours of several words; scopes, which stand as keys too, have a colon."""
_MOMENT = re.compile(r"since|until|at|[a-z_]+_at|[a-z][A-Za-z]*At")


def told(kept: Any) -> Any:
    """The same for a reader."""
    if isinstance(kept, Mapping):
        return {_named(key): _value(key, value) for key, value in kept.items()}
    return [told(value) for value in kept] if isinstance(kept, list | tuple) else kept


def _named(key: str) -> str:
    return to_camel(key) if _FIELD.fullmatch(key) else key


def _value(key: str, value: Any) -> Any:
    is_moment = _MOMENT.fullmatch(key) is not None and isinstance(value, int) and not isinstance(value, bool)
    return rfc3339(value) if is_moment else told(value)
