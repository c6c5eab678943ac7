"""Every query of the flows is served by an index of infra/ (tests/support/world.py refuses others); here: it would notice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.store.documents import INDEXED
from headgate.store.port import Query, Where
from tests.support.indexes import Indexes, declared, missing

STATE, TENANT = Where("state", "==", "queued"), Where("tenant", "==", "t")


@pytest.mark.parametrize(
    "query",
    [
        Query("runs"),
        Query("runs", (STATE,)),
        Query("runs", (STATE, TENANT)),
        Query("runs", (), ("created_at",)),
        Query("runs", (TENANT, STATE), ("-created_at",)),
        Query("runs", (STATE, Where("lease_until", "<=", 1)), ("lease_until",)),
        Query("tenants", (Where("offers", "array_contains_any", ["git"]),), ("turn",)),
    ],
)
def test_served(query: Query) -> None:
    assert missing(query, declared()) is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query("runs", (STATE,), ("finished_at",)), "no composite index"),
        (Query("runs", (STATE, TENANT), ("priority",)), "no composite index"),
        (Query("runs", (Where("priority", ">", 3),), ("created_at",)), "must be the first order"),
        (Query("runs", (Where("input", "==", "x"),)), "exempt"),
        (Query("shards", (Where("scope", "==", "x"),), ("v",)), "no composite index"),
    ],
)
def test_not_served(query: Query, said: str) -> None:
    assert said in (missing(query, declared()) or "")


def test_a_missing_index_is_noticed() -> None:
    indexes = declared()
    without = replace(indexes, composite=tuple(i for i in indexes.composite if i[0] != "lanes"))
    query = Query("lanes", (TENANT, STATE, Where("kind", "in", ["git"])), ("head",))
    assert missing(query, indexes) is None
    assert missing(query, without) is not None


def test_no_field_that_queries_use_is_exempt_and_no_index_is_of_an_unknown_field() -> None:
    indexes: Indexes = declared()
    used = {(collection, name) for collection, names in INDEXED.items() for name in names}
    assert not used & indexes.exempt
    assert {(c, f.lstrip("-")) for c, fields in indexes.composite for f in fields} <= used
