"""Retention: what is past its time is removed. Firestore's own TTL does it there; this does it everywhere, bounded."""

from __future__ import annotations

from headgate.core.run import Run
from headgate.flow.deps import Deps
from headgate.store.documents import EventChunk, IdempotencyRecord, LogChunk, ReceiptRecord, key_of, where
from headgate.store.port import Delete

PAGE = 200


def remove_expired(deps: Deps, now: int) -> int:
    """Remove up to a page of each kind; the next round takes the next page. Readers treat the expired as absent anyway."""
    removed = 0
    for cls in (IdempotencyRecord, ReceiptRecord, LogChunk, EventChunk):
        found = deps.store.query(cls, where(cls, ("expire_at", "<=", now), order=("expire_at",), limit=PAGE))
        if found:
            deps.store.remove([Delete(key_of(document), None) for document in found])
            removed += len(found)
    return removed + _runs(deps, now)


def _runs(deps: Deps, now: int) -> int:
    oldest = now - deps.policy.retention.runs * 24 * 3600 * 1000
    query = where(Run, ("finished_at", "<=", oldest), order=("finished_at",), limit=PAGE)
    found = deps.store.query(Run, query)
    for run in found:
        deps.artifacts.delete(run.id)  # first: dying here leaves a run without artifacts, never artifacts without a run
    if found:
        deps.store.remove([Delete(key_of(run), None) for run in found])
    return len(found)
