"""JSON from strangers, read strictly: every wrong text is one ValueError, whatever is wrong with it."""

from __future__ import annotations

import json


def parse(text: bytes | str) -> object:
    """The value of a JSON text in UTF-8. Raises ValueError, also for NaN, a key given twice and too deep nesting."""
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        return json.loads(decoded, parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found
