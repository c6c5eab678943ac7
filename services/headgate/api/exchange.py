"""What a view is given and what it gives: plain values, so that views know neither Flask nor ASGI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headgate.core.access import Caller, Permission
from headgate.core.errors import Forbidden, InvalidRequest
from headgate.web.correlation import Correlation

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: ids of the path, parameters of the query, headers (names in small letters), the body as sent."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    correlation: Correlation
    known: Caller | None = None

    @property
    def caller(self) -> Caller:
        """Who asks. Views of public paths have none and must not ask."""
        assert self.known is not None
        return self.known

    @property
    def limit(self) -> int:
        """`?limit=`. Raises InvalidRequest."""
        text = self.query.get("limit", str(DEFAULT_LIMIT))
        if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
            raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.", field="limit")
        return int(text)

    def require(self, permission: Permission) -> None:
        """Raises Forbidden unless the caller's role has the permission."""
        if not self.caller.may(permission):
            raise Forbidden(f"This needs the permission {permission}, which {self.caller.role} does not have.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: a status, a body (text is sent as it is, anything else as JSON), headers beside the usual ones."""

    status: int = 200
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


View = Callable[[Ask], Reply]
