"""Cursors: where a list goes on, as text that callers pass back unread."""

from __future__ import annotations

import base64
import binascii
import json

from headgate.core.errors import InvalidRequest


def encoded(*position: int | str) -> str:
    """The cursor of a position."""
    text = json.dumps(position, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decoded(cursor: str, *shape: type) -> tuple[int | str, ...]:
    """The position of a cursor that `encoded` made from values of these types. Raises InvalidRequest."""
    wrong = InvalidRequest("cursor must be the nextCursor of a page before.", field="cursor")
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        raise wrong from None
    if not isinstance(position, list) or [type(value) for value in position] != list(shape):
        raise wrong
    if any(isinstance(value, int) and not 0 <= value < 2**63 for value in position):
        raise wrong
    return tuple(position)
