"""A copy of the embedded store's file, taken while it is in use, and the way back.

Only the database: artifacts lie in their own folder. A copy is looked through before it gets its name; a process that
dies on the way leaves a temporary file and whatever was there before.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from headgate.store.documents import INDEXED
from headgate.store.migrations import SCHEMA_VERSION, version_of


class BadBackup(Exception):
    """The file is no store that this headgate can use: what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was found in a file: its schema version, its bytes, how many documents of each collection."""

    schema: int
    bytes: int
    documents: Mapping[str, int]


def back_up(source: Path, target: Path) -> Contents:
    """Copy the store at `source`, as it is at one moment, to `target` (mode 0600), replacing what is there.

    Writers go on meanwhile. Raises BadBackup, OSError.
    """
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        _private(temporary)
        with _opened(source) as live, _opened(temporary) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a WAL beside it
        contents = examine(temporary)
        _durable(temporary)
        temporary.replace(target)
        _durable(target.parent)
        return contents
    finally:
        temporary.unlink(missing_ok=True)


def restore(backup: Path, database: Path, aside: Path) -> Contents:
    """Put a copy of `backup` in the place of `database`; what was there is kept as `aside`. No server may be running.

    There is a whole database at every moment: dying before the last step leaves the old one. Raises BadBackup, OSError.
    """
    temporary = database.with_name(f"{database.name}.restoring")
    temporary.unlink(missing_ok=True)  # of a restore that was killed
    try:
        examine(backup)
        contents = back_up(backup, temporary)
        if database.exists():
            _set_aside(database, aside)
        temporary.replace(database)
        _durable(database.parent)
        return contents
    finally:
        temporary.unlink(missing_ok=True)


def examine(path: Path) -> Contents:
    """What is in the file. Raises BadBackup unless it is whole, a store of headgate, and of a version known here."""
    with _opened(path) as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise BadBackup(f"{path} is damaged: {found}")
        version = version_of(connection)
        if version > SCHEMA_VERSION:
            raise BadBackup(f"{path} has schema {version}, this headgate knows {SCHEMA_VERSION}: use a newer headgate")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        missing = INDEXED.keys() - tables  # an older one may lack what later steps add; all have had the runs
        if version == 0 or "runs" in missing or (missing and version == SCHEMA_VERSION):
            raise BadBackup(f"{path} is not a store of headgate")
        counts = {
            name: int(connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - our own names
            for name in INDEXED
            if name in tables
        }
    return Contents(schema=version, bytes=path.stat().st_size, documents=counts)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, which must be there. SQLite's complaints become BadBackup."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=10)
        with contextlib.closing(connection):
            yield connection
    except sqlite3.Error as error:
        raise BadBackup(f"{path}: {error}") from error


def _set_aside(database: Path, aside: Path) -> None:
    """A second name for the old file, with all that its WAL holds; a WAL must not be found beside the new one."""
    with contextlib.suppress(BadBackup), _opened(database) as old:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a damaged file keeps its WAL as it is
    for suffix in ("-wal", "-shm"):
        beside = database.with_name(database.name + suffix)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + suffix))
    os.link(database, aside)


def _private(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _durable(path: Path) -> None:
    """The file, or the names in the folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
