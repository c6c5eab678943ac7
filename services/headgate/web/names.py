"""What may stand in a path and in a query, checked before anything is looked up."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from headgate.core.errors import InvalidRequest, NotFound

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]{0,127}", re.ASCII)


def checked_names(path: Mapping[str, str]) -> None:
    """Raises NotFound for an id that nothing can have: no store has to make sense of it."""
    for name in path.values():
        if not _NAME.fullmatch(name):
            raise NotFound(f"There is no {name[:200]!r}.")


def checked_query(given: Iterable[tuple[str, str]], known: Collection[str]) -> dict[str, str]:
    """The query's parameters. Raises InvalidRequest for one that is unknown, or given twice."""
    query: dict[str, str] = {}
    for name, value in given:
        if name not in known:
            may = f"known are {', '.join(sorted(known))}" if known else "this takes none"
            raise InvalidRequest(f"There is no parameter {name[:200]!r}; {may}.", field=name[:200])
        if name in query:
            raise InvalidRequest(f"The parameter {name!r} is given twice: give it once.", field=name)
        query[name] = value
    return query
