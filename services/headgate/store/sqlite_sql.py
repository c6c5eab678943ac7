"""Queries of the port as SQL. Field names are checked against INDEXED, values are always bound."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from headgate.core.run import RunState
from headgate.store.documents import INDEXED
from headgate.store.port import Query, Where


def select_sql(query: Query, count: bool = False) -> tuple[str, list[Any]]:
    """The statement and its values. Statements are the same text for the same shape, so SQLite prepares them once."""
    sql = _shape(
        query.collection,
        tuple(
            (w.field, w.op, len(w.value) if isinstance(w.value, list | tuple) else -1, _literal(w)) for w in query.where
        ),
        query.order,
        query.limit is not None and not count,
        query.after is not None and not count,
        count,
    )
    values: list[Any] = []
    for where in query.where:
        if _literal(where) is None:
            values += list(where.value) if isinstance(where.value, list | tuple) else [where.value]
    if not count:
        values += list(query.after or ())
        values += [query.limit] if query.limit is not None else []
    return sql, values


def _literal(where: Where) -> str | None:
    """Values written into the text so that partial indexes apply: booleans, None and states."""
    if where.op == "in" and where.field == "state":
        return "(" + ", ".join(f"'{RunState(state)}'" for state in where.value) + ")"
    if where.op != "==":
        return None
    if where.value is None:
        return "NULL"
    if isinstance(where.value, bool):
        return str(int(where.value))
    if where.field == "state" and str(where.value).isidentifier():
        return f"'{where.value}'"
    return None


@lru_cache(maxsize=512)
def _shape(
    collection: str,
    wheres: tuple[tuple[str, str, int, str | None], ...],
    order: tuple[str, ...],
    limited: bool,
    after: bool,
    count: bool,
) -> str:
    conditions = [_condition(collection, *where) for where in wheres]
    fields = [*(field.lstrip("-") for field in order), "id"]
    descending = bool(order) and order[-1].startswith("-")
    if after:
        names, marks = ", ".join(_name(collection, f) for f in fields), ", ".join("?" * len(fields))
        conditions.append(f"({names}) {'<' if descending else '>'} ({marks})")
    what = "COUNT(*)" if count else "id, version, body"
    sql = f'SELECT {what} FROM "{collection}"'  # noqa: S608 - names are checked, values bound
    if conditions:
        sql += " WHERE " + " AND ".join(conditions)
    if not count:
        sides = [f"{_name(collection, f.lstrip('-'))}{' DESC' if f.startswith('-') else ''}" for f in order]
        sql += " ORDER BY " + ", ".join((*sides, f"id{' DESC' if descending else ''}"))
        sql += " LIMIT ?" if limited else ""
    return sql


def _condition(collection: str, field: str, op: str, size: int, literal: str | None) -> str:
    name = _name(collection, field)
    if literal is not None:
        return f"{name} {'IN' if op == 'in' else 'IS' if literal == 'NULL' else '='} {literal}"
    if op == "in":
        return f"{name} IN ({', '.join('?' * size)})"
    if op == "array_contains_any":
        inside = f"SELECT 1 FROM json_each({name}) WHERE value IN ({', '.join('?' * size)})"  # noqa: S608
        return f"{name} <> '[]' AND EXISTS ({inside})"
    return f"{name} {'=' if op == '==' else op} ?"


def _name(collection: str, field: str) -> str:
    if field != "id" and field not in INDEXED[collection]:
        raise ValueError(f"{collection}.{field} is not a column")
    return f'"{field}"'
