"""A recorded log of runs' events: JSON lines, as `GET …/runs/{id}/events` gives them, each with its run and tenant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headgate.core.errors import InvalidRequest
from headgate.core.scopes import SYSTEM, TENANT, split_name
from headgate.flow.invariants import Entry
from headgate.web.moments import parse_rfc3339

EXAMPLE = '{"runId": "run_1", "tenantId": "acme", "seq": 1, "at": "2026-07-01T12:00:00.000Z", "type": "run.queued", "data": {}}'


def read_log(file: Path) -> list[Entry]:
    """Its entries. Raises InvalidRequest naming the line that cannot be read."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}", field="log") from error
    return list(_entries(file, lines))


def _entries(file: Path, lines: list[str]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _entry(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidRequest(f"{file}, line {number}: {error!r}. A line is {EXAMPLE}", field="log") from error


def _entry(said: Any) -> Entry:
    at, data = said["at"], said["data"]
    if not isinstance(data, dict) or not isinstance(said["seq"], int):
        raise TypeError("seq is a whole number, data an object")
    moment = at if isinstance(at, int) else parse_rfc3339(str(at))
    run, tenant = str(said["runId"]), str(said["tenantId"])
    return Entry(run=run, tenant=tenant, seq=said["seq"], at=moment, type=str(said["type"]), data=data)


def read_caps(said: tuple[str, ...]) -> dict[str, int]:
    """`tenant:acme=5` → its scope and number. Raises InvalidRequest."""
    caps = {}
    for one in said:
        scope, _, number = one.rpartition("=")
        if not scope or not number.isdecimal():
            raise InvalidRequest(f"--cap {one!r}: say it as system=50 or tenant:acme=5.", field="cap")
        try:
            checked = scope == SYSTEM or split_name(scope)[1] == TENANT
        except ValueError:
            checked = False
        if not checked:
            raise InvalidRequest(f"--cap {scope!r}: a log tells of system and tenant:T only.", field="cap")
        caps[scope] = int(number)
    return caps
