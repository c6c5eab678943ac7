"""The port: documents with versions, and one atomic commit by precondition.

A `Backend` (SQLite, Firestore) is eight verbs over raw documents (plain JSON-like dicts). `committer.Store` puts
transactions on top, and `flow` speaks only to those. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

Raw = dict[str, Any]
"""A document as stored: JSON-like values only (None, bool, int, float, str, list, dict with str keys)."""

Version = int | str
"""Opaque and comparable for equality only. It changes with every write of the document, also one that changes nothing."""


class Key(NamedTuple):
    """Where a document lives."""

    collection: str
    id: str


class Found(NamedTuple):
    """A document as read: `raw` and `version` are None when there is none."""

    key: Key
    raw: Raw | None
    version: Version | None


Op = Literal["==", "<", "<=", ">", ">=", "in", "array_contains_any"]


class Where(NamedTuple):
    """One condition of a query. For `in` and `array_contains_any` the value is a list of at most 30."""

    field: str
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class Query:
    """Documents of one collection that meet every condition, by `order` (fields, `-` first = descending), then id
    (in the direction of the last order field).

    `after` is a cursor: the values of the order fields (all of one direction) and the id of the last document seen.
    Every shape used has its composite index in infra/firestore.tf and its columns in store/schema.sql.
    """

    collection: str
    where: tuple[Where, ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None
    after: tuple[Any, ...] | None = None


class Put(NamedTuple):
    """Replace the document that has `version`; None = create, there must be none."""

    key: Key
    raw: Raw
    version: Version | None


class Delete(NamedTuple):
    """Delete the document that has `version`; None = whatever is there, or nothing."""

    key: Key
    version: Version | None


class Verify(NamedTuple):
    """Change nothing, but fail the commit if the document no longer has `version` (None = still absent)."""

    key: Key
    version: Version | None


class Mask(NamedTuple):
    """Set some fields of an existing document without looking at its version: it cannot be starved."""

    key: Key
    fields: Mapping[str, Any]


Write = Put | Delete | Verify | Mask


class Read(NamedTuple):
    """An answer of the backend: what was found, and the store's time (ms since 1970) of the reading."""

    found: list[Found]
    now: int


class Conflict(Exception):
    """A precondition did not hold: somebody else wrote first. Nothing was written. Read again and decide again."""


class Ambiguous(Exception):
    """The commit's reply was lost: it may have been applied or not. Whoever asked must read and prove it."""


class Outage(Exception):
    """The backend cannot be reached (or does not answer in time); a read that failed has changed nothing."""


class Backend(Protocol):
    """What an adapter does. Every call is bounded by `timeout` seconds and raises Outage when it cannot answer."""

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        """The documents of `keys`, in that order."""

    def query(self, query: Query, timeout: float) -> Read:
        """What matches now. Not repeatable: a hint until its versions are checked by a commit."""

    def count(self, query: Query, timeout: float) -> int:
        """How many match now (`limit` and `after` are ignored)."""

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        """All or nothing. Raises Conflict (nothing written), Ambiguous (unknown) or Outage (surely nothing written)."""

    def ping(self, timeout: float) -> None:
        """Raises Outage unless a read and, where that is cheap to know, a write would work now."""

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        """Delete without preconditions: retention only."""

    def close(self) -> None:
        """Give back threads, connections and files."""


def matches(query: Query, raw: Raw) -> bool:
    """Whether a document meets the conditions: how an overlay of uncommitted writes answers queries."""
    return all(_meets(raw.get(where.field), where) for where in query.where)


def _meets(value: Any, where: Where) -> bool:
    if where.op == "in":
        return value in where.value
    if where.op == "array_contains_any":
        return any(item in where.value for item in value or ())
    if where.op == "==":
        return bool(value == where.value)
    if value is None:
        return False
    return bool(
        {
            "<": value < where.value,
            "<=": value <= where.value,
            ">": value > where.value,
            ">=": value >= where.value,
        }[where.op]
    )


def in_order(query: Query, found: list[Found]) -> list[Found]:
    """What an overlay of uncommitted writes and a backend's answer make together, in the query's order."""
    for field in ("id", *reversed(query.order)):
        name = field.lstrip("-")
        descending = field.startswith("-") or (name == "id" and any(f.startswith("-") for f in query.order[-1:]))
        found = sorted(found, key=partial(_comparable, name), reverse=descending)
    return found


def _comparable(name: str, found: Found) -> tuple[bool, Any]:
    value = found.key.id if name == "id" else (found.raw or {}).get(name)
    return (value is not None, 0 if value is None else value)
