"""Which value is kept in which collection, and which fields the queries may speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cattrs

from headgate.core.access import ApiKey
from headgate.core.lane import Lane
from headgate.core.run import Run
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, Shard
from headgate.store.port import Key, Query, Raw, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLine:
    """How many runs of a user wait: for the bound of the line."""

    id: str
    tenant: str
    user: str
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRecord:
    """A key that was used: which body, and what it was answered. `expire_at` in ms: a reader treats it as absent then."""

    id: str
    tenant: str
    body_hash: str
    run_id: str
    receipt_id: str
    status: int
    expire_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRecord:
    """A refusal's receipt (those of accepted runs lie in the run)."""

    id: str
    tenant: str
    at: int
    body: Mapping[str, Any]
    expire_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Who changed what, when and why: created in the commit of the change, never written again."""

    id: str
    at: int
    actor: str
    action: str
    subject: str
    tenant: str | None = None
    before: Any = None
    after: Any = None
    reason: str = ""
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A piece of a run's output. `seq` is the event number it was stored under; `text` has no byte of another chunk."""

    id: str
    run: str
    seq: int
    at: int
    text: str
    expire_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChunk:
    """Older events of a run that no longer lie in the run itself."""

    id: str
    run: str
    seq: int
    events: tuple[Mapping[str, Any], ...]
    expire_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was given up, kept for people to look at, replay or discard.

    `reason`: malformed (no message of ours), dead_lettered (the broker gave it up) or undelivered (sent again and again,
    never taken). `outcome`, of what is no malformed one: ended (its run failed with it), moved_on (the run no longer
    waited for it) or unknown (there is no such run). `count`: how often it came.
    """

    id: str
    at: int
    reason: str
    detail: str
    body: str
    expire_at: int
    outcome: str | None = None
    tenant: str | None = None
    run: str | None = None
    fence: int | None = None
    state: str = "open"
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A small fact about the store itself: the schema's version, who made it."""

    id: str
    value: str
    at: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


D = TypeVar("D")

COLLECTIONS: Mapping[type, str] = {
    Tenant: "tenants",
    Run: "runs",
    Lane: "lanes",
    Control: "control",
    Shard: "shards",
    UserLine: "users",
    IdempotencyRecord: "idem",
    ReceiptRecord: "receipts",
    AuditRecord: "audit",
    LogChunk: "logs",
    EventChunk: "events",
    ApiKey: "keys",
    DeadLetter: "dead_letters",
    Marker: "markers",
}

INDEXED: Mapping[str, tuple[str, ...]] = {
    "tenants": ("offers", "turn"),
    "runs": (
        "tenant", "state", "kind", "repo", "org", "user", "priority", "lane", "key", "delayed",
        "created_at", "lease_until", "publish_due", "not_before", "start_by", "finished_at", "concurrency_key",
    ),
    "lanes": ("tenant", "kind", "state", "on", "head"),
    "control": (),
    "shards": ("scope", "free", "rnd", "v", "index"),
    "users": ("tenant",),
    "idem": ("expire_at",),
    "receipts": ("tenant", "expire_at", "at"),
    "audit": ("tenant", "at", "subject", "actor", "action"),
    "logs": ("run", "seq", "expire_at"),
    "events": ("run", "seq", "expire_at"),
    "keys": ("tenant",),
    "dead_letters": ("tenant", "run", "state", "reason", "at", "expire_at"),
    "markers": (),
}  # fmt: skip
"""Fields of each collection that a query may filter or order by: SQLite keeps them as columns, Firestore indexes them."""

_converter = cattrs.Converter(omit_if_default=False)
_converter.register_structure_hook_func(lambda t: t is object or t is Any, lambda value, _: value)


def collection_of(cls: type) -> str:
    """The collection of a document class."""
    return COLLECTIONS[cls]


def key_of(document: Any) -> Key:
    """Where a document lives."""
    return Key(COLLECTIONS[type(document)], document.id)


def to_raw(document: Any) -> Raw:
    """The stored form of a document."""
    raw: Raw = _converter.unstructure(document)
    return raw


def from_raw(cls: type[D], raw: Raw) -> D:
    """The document of a stored form. Unknown fields (bookkeeping of the store) are left out."""
    return _converter.structure(raw, cls)


def where(cls: type, *conditions: tuple[str, str, Any], order: tuple[str, ...] = (), limit: int | None = None,
          after: tuple[Any, ...] | None = None) -> Query:  # fmt: skip
    """A query over the collection of `cls`; refuses fields that are not indexed."""
    collection = COLLECTIONS[cls]
    for name in (*(c[0] for c in conditions), *(o.lstrip("-") for o in order)):
        if name not in INDEXED[collection]:
            raise ValueError(
                f"{collection}.{name} is not indexed: add it to INDEXED, a schema step and infra/firestore_indexes.yaml"
            )
    return Query(collection, tuple(Where(*c) for c in conditions), order, limit, after)  # type: ignore[arg-type]
