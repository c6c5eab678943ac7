"""Documents for the contract: real ones, as they are stored, each with some fields of its own; and how to read them."""

from __future__ import annotations

import json
from typing import Any

from headgate.core.lane import Lane, LaneState
from headgate.core.run import Run, RunState
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.store.documents import COLLECTIONS, AuditRecord, IdempotencyRecord, Marker, to_raw
from headgate.store.port import Backend, Found, Key, Put, Query, Raw, Version

T = 10.0
"""Seconds a call may take here: the machine is slow, the contract is not about speed."""


def run(id: str = "run_1", **fields: Any) -> Raw:
    """A queued run."""
    base = {"tenant": "acme", "kind": "command", "input": "{}", "created_at": 1, "state": RunState.QUEUED}
    return _stored(Run(**{"id": id, **base, **fields}))


def lane(id: str = "lane_1", **fields: Any) -> Raw:
    """A ready lane."""
    base = {"tenant": "acme", "kind": "command", "state": LaneState.READY, "head": 1}
    return _stored(Lane(**{"id": id, **base, **fields}))


def tenant(id: str = "acme", **fields: Any) -> Raw:
    """A tenant without runs."""
    return _stored(Tenant(**{"id": id, "plan": "free", "cap": 5, **fields}))


def shard(id: str = "system~0", **fields: Any) -> Raw:
    """A free shard."""
    return _stored(Shard(**{"id": id, "scope": "system", "index": 0, "credit": 1, **fields}))


def idem(id: str = "idem_1", **fields: Any) -> Raw:
    """A used key."""
    base = {"tenant": "acme", "body_hash": "h", "run_id": "run_1", "receipt_id": "r", "status": 201, "expire_at": 1}
    return _stored(IdempotencyRecord(**{"id": id, **base, **fields}))


def audit(id: str = "aud_1", **fields: Any) -> Raw:
    """A record of the audit log."""
    base = {"at": 1, "actor": "op", "action": "limit.set", "subject": "tenant:acme", "tenant": "acme"}
    return _stored(AuditRecord(**{"id": id, **base, **fields}))


def marker(id: str = "schema", extra: Any = None) -> Raw:
    """A marker with whatever in it."""
    return _stored(Marker(id=id, value="1", extra=extra or {}))


def key(raw: Raw, cls: type = Run) -> Key:
    """Where a sample lives."""
    return Key(COLLECTIONS[cls], raw["id"])


def create(raw: Raw, cls: type = Run) -> Put:
    """The write that creates a sample."""
    return Put(key(raw, cls), raw, None)


def _stored(document: Any) -> Raw:
    """As it comes back from a store: tuples are lists by then."""
    stored: Raw = json.loads(json.dumps(to_raw(document)))
    return stored


# --- reading


def found(backend: Backend, at: Key) -> Found:
    """The document as read."""
    return backend.get([at], T).found[0]


def raw_of(backend: Backend, at: Key) -> Raw | None:
    """The document's fields, None when there is none."""
    return found(backend, at).raw


def version_of(backend: Backend, at: Key) -> Version:
    """The version of a document that is there."""
    version = found(backend, at).version
    assert version is not None
    return version


def ids(backend: Backend, query: Query) -> list[str]:
    """The ids a query finds, in its order."""
    return [one.key.id for one in backend.query(query, T).found]
