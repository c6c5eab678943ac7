"""Bringing a file of the embedded store to the schema of this headgate: forward only, one numbered step after the other.

A step is a file of SQL that is never changed once it was released; the next change of the schema is the next step. Each
step and the number it leads to are one transaction: a process that dies in the middle leaves the version before.
"""

from __future__ import annotations

import contextlib
import sqlite3
from importlib import resources

STEPS = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql", "schema_5.sql")
"""Step n leads from version n - 1 to n; a file without a version is empty."""

SCHEMA_VERSION = len(STEPS)


class NewerSchema(Exception):
    """The file was written by a newer headgate."""


def version_of(connection: sqlite3.Connection) -> int:
    """The file's schema version; 0 = nothing in it yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Take every step that is still to be taken. The caller keeps other processes out. Raises NewerSchema."""
    version = version_of(connection)
    if version > SCHEMA_VERSION:
        raise NewerSchema(f"{name} has schema {version}, this headgate knows {SCHEMA_VERSION}: run a newer headgate")
    for number in range(version + 1, SCHEMA_VERSION + 1):
        _step(connection, number)


def _step(connection: sqlite3.Connection, number: int) -> None:
    sql = resources.files(__package__).joinpath(STEPS[number - 1]).read_text("utf-8")
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version={number};\nCOMMIT;")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):  # the first error is the one to report
            connection.execute("ROLLBACK")
        raise
