"""A place in line without counting the line: how many of a tenant's queued runs have a key below one's own.

`schema_4.sql` keeps the counts in blocks of keys, by triggers. A prefix of the line is then the sum of whole blocks of
each size and the rows of the one block that is broken: one statement, one moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.store.port import Query

BITS = (28, 36, 44)
"""How many low bits of a key the blocks of each level leave out."""

_BLOCKS = "SELECT COALESCE(SUM(runs), 0) FROM ranks WHERE tenant = ? AND level = ? AND block >= ? AND block < ?"
_ROWS = "SELECT COUNT(*) FROM runs WHERE tenant = ? AND state = 'queued' AND delayed = 0 AND key >= ? AND key < ?"
_LINE = {("state", "==", "queued"), ("delayed", "==", False)}


def prefix_sql(query: Query) -> tuple[str, list[Any]] | None:
    """The statement that counts a prefix of a tenant's line, with its values; None for any other query.

    A prefix: one tenant, queued, not delayed, key below a bound, and perhaps some priorities.
    """
    said: Mapping[tuple[str, str], Any] = {(w.field, w.op): w.value for w in query.where}
    bound = said.get(("key", "<"))
    in_line = all(said.get((field, op)) == value for field, op, value in _LINE)
    rest = set(said) - {("state", "=="), ("delayed", "=="), ("tenant", "=="), ("key", "<"), ("priority", "in")}
    if query.collection != "runs" or not isinstance(bound, int) or ("tenant", "==") not in said or not in_line or rest:
        return None
    return _sum(str(said["tenant", "=="]), bound, said.get(("priority", "in")))


def _sum(tenant: str, bound: int, priorities: list[int] | None) -> tuple[str, list[Any]]:
    only = "" if priorities is None else f" AND priority IN ({', '.join('?' * len(priorities))})"
    parts, values = [f"({_BLOCKS}{only})"] * len(BITS) + [f"({_ROWS}{only})"], list[Any]()
    for level, bits in reversed(list(enumerate(BITS))):
        wider = BITS[level + 1] if level + 1 < len(BITS) else None
        first = -(2**62) if wider is None else bound >> wider << (wider - bits)
        values += [tenant, level, first, bound >> bits, *(priorities or ())]
    values += [tenant, bound >> BITS[0] << BITS[0], bound, *(priorities or ())]
    return f"SELECT {' + '.join(parts)}", values
