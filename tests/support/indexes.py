"""Would Firestore answer this query? The emulator answers every query; production only those that an index serves.

Rules of https://firebase.google.com/docs/firestore/query-data/index-overview, as far as our queries need them:
one field alone is served by its automatic index (unless exempt); equalities alone merge those; anything with an order
or a range besides needs composite indexes whose leading fields are the equalities and which all end with that order
(several may be merged).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from headgate.store.port import Backend, Key, Query, Read, Write

INDEX_FILE = Path(__file__).parents[2] / "infra" / "firestore_indexes.yaml"
RANGES = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Indexes:
    """The file's content: composite indexes as (collection, fields with `-` for descending), and exempt fields."""

    composite: tuple[tuple[str, tuple[str, ...]], ...]
    exempt: frozenset[tuple[str, str]]


@cache
def declared() -> Indexes:
    """What infra makes."""
    data: Any = yaml.safe_load(INDEX_FILE.read_text("utf-8"))
    composite = tuple(
        (
            entry["collection"],
            tuple(f"-{f['field']}" if f.get("order") == "DESCENDING" else f["field"] for f in entry["fields"]),
        )
        for entry in data["composite"]
    )
    exempt = frozenset((collection, name) for collection, names in data["exempt"].items() for name in names)
    return Indexes(composite, exempt)


def missing(query: Query, indexes: Indexes) -> str | None:
    """What Firestore would lack to answer the query, or None."""
    equal = {w.field for w in query.where if w.op in ("==", "in", "array_contains_any")}
    ranged = [w.field for w in query.where if w.op in RANGES]
    order = query.order or tuple(dict.fromkeys(ranged))
    used = equal | set(ranged) | {name.lstrip("-") for name in order}
    barred = sorted(name for name in used if (query.collection, name) in indexes.exempt)
    if barred:
        return f"{query.collection}: {barred} are exempt from indexing"
    if ranged and order[0].lstrip("-") != ranged[0]:
        return f"{query.collection}: the range on {ranged[0]} must be the first order"
    if len(used) <= 1 or not order:
        return None
    served: set[str] = set()
    for collection, fields in indexes.composite:
        leading, suffix = set(fields[: -len(order)]), fields[-len(order) :]
        if collection == query.collection and suffix == order and {f.lstrip("-") for f in leading} <= equal:
            served |= {f.lstrip("-") for f in leading}
    lacking = sorted(equal - served)
    return f"{query.collection}: no composite index of {lacking} with order {order}" if lacking or not equal else None


@dataclass
class IndexedBackend:
    """A backend that refuses what Firestore would refuse for want of an index, and remembers which shapes were asked."""

    inner: Backend
    indexes: Indexes = field(default_factory=declared)

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        return self.inner.get(keys, timeout)

    def query(self, query: Query, timeout: float) -> Read:
        lack = missing(query, self.indexes)
        assert lack is None, f"infra/firestore_indexes.yaml: {lack}"
        return self.inner.query(query, timeout)

    def count(self, query: Query, timeout: float) -> int:
        lack = missing(query, self.indexes)
        assert lack is None, f"infra/firestore_indexes.yaml: {lack}"
        return self.inner.count(query, timeout)

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self.inner.commit(writes, timeout)

    def ping(self, timeout: float) -> None:
        self.inner.ping(timeout)

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        self.inner.clear(keys, timeout)

    def close(self) -> None:
        self.inner.close()
