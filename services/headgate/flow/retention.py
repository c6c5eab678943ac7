"""Retention: what is past its time is removed. Firestore's own TTL does it there; this does it everywhere, bounded."""

from __future__ import annotations

from headgate.core.run import Run
from headgate.flow.deps import Deps
from headgate.store.documents import (
    D,
    DeadLetter,
    EventChunk,
    IdempotencyRecord,
    LogChunk,
    ReceiptRecord,
    key_of,
    where,
)
from headgate.store.port import Delete

PAGE = 200
PAGES = 10
"""Of each kind in one round: a backlog must not hold up what else the sweep has to do."""
DAY_MS = 24 * 3600 * 1000
EXPIRING = (IdempotencyRecord, ReceiptRecord, LogChunk, EventChunk, DeadLetter)
"""Documents that carry their own end."""


def remove_expired(deps: Deps, now: int) -> int:
    """Remove what is past its time, some pages of each kind; the next round goes on. How many were removed.

    Readers treat the expired as absent anyway. Dying in the middle leaves the rest to the next round.
    """
    expired = ("expire_at", "<=", now)
    removed = sum(_remove(deps, cls, expired) for cls in EXPIRING)
    return removed + _remove(deps, Run, ("finished_at", "<=", now - deps.policy.retention.runs * DAY_MS))


def _remove(deps: Deps, cls: type[D], condition: tuple[str, str, int]) -> int:
    removed = 0
    for _ in range(PAGES):
        found = deps.store.query(cls, where(cls, condition, order=(condition[0],), limit=PAGE))
        for document in found:
            if isinstance(document, Run):
                deps.artifacts.delete(document.id)  # first: dying here leaves a run without artifacts, not the reverse
        if found:
            deps.store.remove([Delete(key_of(document), None) for document in found])
        removed += len(found)
        if len(found) < PAGE:
            break
    return removed
