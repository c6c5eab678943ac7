"""The embedded store: the documents as rows of one SQLite file in WAL mode.

One writer thread per process takes whatever commits wait and makes them one SQLite transaction (one fsync); among
processes a file lock is taken before BEGIN IMMEDIATE, because SQLite's own busy handler starves. Readers never wait.
A process that dies leaves either the whole commit in the WAL or nothing of it; its file lock goes with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headgate.store.documents import INDEXED
from headgate.store.migrations import NewerSchema, migrate
from headgate.store.port import (
    Ambiguous,
    Conflict,
    Delete,
    Found,
    Key,
    Mask,
    Outage,
    Put,
    Query,
    Raw,
    Read,
    Verify,
    Version,
    Write,
)
from headgate.store.sqlite_ranks import prefix_sql
from headgate.store.sqlite_sql import select_sql

NOW_SQL = "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
GROUP = 64
CHECKPOINT_EVERY = 200


@dataclass(eq=False, slots=True)
class _Commit:
    """One caller's writes on their way through the writer."""

    writes: Sequence[Write]
    done: threading.Event = field(default_factory=threading.Event)
    started: bool = False
    abandoned: bool = False
    error: Exception | None = None


def _make_closed(path: str) -> None:
    """The file, closed to others if it is made now; what SQLite puts beside it (-wal, -shm) gets its rights."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Outage(f"cannot open {path}: {error.strerror}") from error


def open_sqlite(path: Path | str, *, sync: str = "full", clock: Callable[[], int] | None = None) -> SqliteBackend:
    """The store in the file at `path`, made and migrated if needed; `:memory:` for one that dies with the process.

    `sync` = full (an answered commit survives power loss) or normal (survives a crash of the process). `clock` gives
    ms since 1970; without it SQLite's own clock counts, which never goes back here.
    """
    return SqliteBackend(str(path), sync, clock)


class SqliteBackend:
    """`Backend` over SQLite. Thread-safe; several processes may share a file."""

    def __init__(self, path: str, sync: str, clock: Callable[[], int] | None) -> None:
        self._path = path
        self._sync = sync.upper()
        self._clock = clock
        self._in_memory = path == ":memory:"
        self._latest = 0
        self._time_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._closed = False
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._lock_file = (
            -1 if self._in_memory else os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        )
        if not self._in_memory:
            _make_closed(path)
        self._writer = self._connect()
        self._migrate()
        self._memory_lock = threading.RLock()
        self._inbox: queue.SimpleQueue[_Commit | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._checkpointer: threading.Thread | None = None
        self._checkpoint_due = threading.Event()
        if not self._in_memory:
            self._thread = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)
            self._checkpointer = threading.Thread(target=self._checkpoint_loop, name="sqlite-checkpoint", daemon=True)
            self._thread.start()
            self._checkpointer.start()

    # --- the port

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        """See Backend."""
        with self._reading() as connection:
            return Read([_select(connection, key) for key in keys], self._now(connection))

    def query(self, query: Query, timeout: float) -> Read:
        """See Backend."""
        sql, values = select_sql(query)
        with self._reading() as connection:
            rows = connection.execute(sql, values).fetchall()
            return Read([_found(query.collection, *row) for row in rows], self._now(connection))

    def count(self, query: Query, timeout: float) -> int:
        """See Backend. A place in line is a sum of blocks; see sqlite_ranks."""
        sql, values = prefix_sql(query) or select_sql(query, count=True)
        with self._reading() as connection:
            return int(connection.execute(sql, values).fetchone()[0])

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        """See Backend. A commit that the writer has not begun in time is withdrawn: nothing was written."""
        job = _Commit(writes)
        if self._in_memory:
            with self._memory_lock:
                self._write_group([job])
        else:
            self._inbox.put(job)
            if not job.done.wait(timeout) and not self._withdraw(job):
                raise Ambiguous("the disk did not confirm the commit in time")
        if job.error is not None:
            raise job.error

    def ping(self, timeout: float) -> None:
        """See Backend: a read, and an empty commit through the writer."""
        self.get([], timeout)
        self.commit([], timeout)

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        """See Backend."""
        self.commit([Delete(key, None) for key in keys], timeout)

    def close(self) -> None:
        """See Backend."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None and self._checkpointer is not None:
            self._inbox.put(None)
            self._thread.join()
            self._checkpoint_due.set()
            self._checkpointer.join()
            os.close(self._lock_file)
        while not self._readers.empty():
            self._readers.get_nowait().close()
        self._writer.close()

    # --- connections and time

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5
            )
            for pragma in ("journal_mode=WAL", f"synchronous={self._sync}", "wal_autocheckpoint=0", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise Outage(f"cannot open {self._path}: {error}") from error
        return connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of the pool; in memory there is only one, and it is held."""
        if self._in_memory:
            with self._memory_lock:
                yield self._writer
            return
        try:
            connection = self._readers.get_nowait()
        except queue.Empty:
            connection = self._connect()
        try:
            yield connection
        except sqlite3.OperationalError as error:
            raise Outage(f"sqlite: {error}") from error
        finally:
            if self._closed:
                connection.close()
            else:
                self._readers.put(connection)

    def _now(self, connection: sqlite3.Connection) -> int:
        read = self._clock() if self._clock is not None else int(connection.execute(NOW_SQL).fetchone()[0])
        with self._time_lock:
            self._latest = max(self._latest, read)
            return self._latest

    def _migrate(self) -> None:
        """Bring the file to this schema, one process at a time; see migrations."""
        try:
            with self._exclusive():
                migrate(self._writer, self._path)
        except NewerSchema as error:
            raise Outage(str(error)) from error

    # --- writing

    def _withdraw(self, job: _Commit) -> bool:
        with self._state_lock:
            if job.started:
                return job.done.wait(0)
            job.abandoned = True
        job.error = Outage("the store's writer is busy; nothing was written")
        return True

    def _write_loop(self) -> None:
        since_checkpoint = 0
        while (job := self._inbox.get()) is not None:
            group = [job]
            stop = False
            while len(group) < GROUP and not self._inbox.empty():
                more = self._inbox.get()
                if more is None:
                    stop = True
                    break
                group.append(more)
            self._write_group(group)
            since_checkpoint += len(group)
            if since_checkpoint >= CHECKPOINT_EVERY:
                since_checkpoint = 0
                self._checkpoint_due.set()
            if stop:
                return

    def _write_group(self, group: list[_Commit]) -> None:
        with self._state_lock:
            for job in group:
                job.started = not job.abandoned
        group = [job for job in group if job.started]
        try:
            with self._exclusive():
                self._transaction(group)
        except sqlite3.Error as error:
            for job in group:
                job.error = Ambiguous(f"sqlite: {error}")
        for job in group:
            job.done.set()

    def _transaction(self, group: list[_Commit]) -> None:
        """All commits of the group in one SQLite transaction; one that conflicts leaves nothing and does not hurt the rest."""
        work = self._writer
        work.execute("BEGIN IMMEDIATE")
        try:
            number = int(work.execute("SELECT commits FROM clock").fetchone()[0])
            for job in group:
                number += 1
                job.error = _apply(work, job.writes, number)
            work.execute("UPDATE clock SET commits = ?", (number,))
            work.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # the first error is the one to report
                work.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """The file lock among processes. Dying inside releases it."""
        if self._in_memory:
            yield
            return
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _checkpoint_loop(self) -> None:
        """Move the WAL into the file off the commit path; without it the WAL only grows, nothing is lost."""
        connection = self._connect()
        while not self._closed:
            self._checkpoint_due.wait()
            self._checkpoint_due.clear()
            with contextlib.suppress(sqlite3.OperationalError):  # busy: the next round does it
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        connection.close()


def _select(connection: sqlite3.Connection, key: Key) -> Found:
    sql = f'SELECT version, body FROM "{key.collection}" WHERE id = ?'  # noqa: S608 - collections are our own names
    row = connection.execute(sql, (key.id,)).fetchone()
    return Found(key, None, None) if row is None else _found(key.collection, key.id, *row)


def _found(collection: str, id: str, version: Version, body: str) -> Found:
    return Found(Key(collection, id), json.loads(body), version)


UNSTORABLE = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    ValueError,
    TypeError,
    OverflowError,
)
"""What SQLite or JSON says of a value that cannot be stored: its own commit's fault, not the disk's."""


def _apply(work: sqlite3.Connection, writes: Sequence[Write], number: int) -> Exception | None:
    """Check every precondition, then write; what is wrong is returned and leaves nothing behind."""
    work.execute("SAVEPOINT one")
    try:
        for write in writes:
            if not _holds(work, write):
                raise Conflict(f"{write.key.collection}/{write.key.id} has changed")
        for write in writes:
            _write(work, write, number)
    except (Conflict, *UNSTORABLE) as error:
        work.execute("ROLLBACK TO one")
        return error
    finally:
        work.execute("RELEASE one")
    return None


def _holds(work: sqlite3.Connection, write: Write) -> bool:
    if isinstance(write, Delete) and write.version is None:
        return True
    sql = f'SELECT version FROM "{write.key.collection}" WHERE id = ?'  # noqa: S608 - collections are our own names
    row = work.execute(sql, (write.key.id,)).fetchone()
    if isinstance(write, Mask):
        return row is not None
    return bool((row[0] if row else None) == write.version)


def _write(work: sqlite3.Connection, write: Write, number: int) -> None:
    if isinstance(write, Put):
        _replace(work, write.key, write.raw, number)
    elif isinstance(write, Delete):
        work.execute(f'DELETE FROM "{write.key.collection}" WHERE id = ?', (write.key.id,))  # noqa: S608
    elif isinstance(write, Mask):
        raw = _select(work, write.key).raw
        assert raw is not None
        _replace(work, write.key, {**raw, **write.fields}, number)
    else:
        assert isinstance(write, Verify)


def _replace(work: sqlite3.Connection, key: Key, raw: Raw, number: int) -> None:
    columns = INDEXED[key.collection]
    names = ", ".join(("id", "version", "body", *(f'"{c}"' for c in columns)))
    marks = ", ".join("?" * (3 + len(columns)))
    body = json.dumps(raw, separators=(",", ":"), allow_nan=False)
    values = [key.id, number, body, *(_column(raw.get(c)) for c in columns)]
    # Not INSERT OR REPLACE: that deletes the old row without its triggers, and overrules what they do on conflict.
    sets = ", ".join(f"{name} = excluded.{name}" for name in ("version", "body", *(f'"{c}"' for c in columns)))
    sql = f'INSERT INTO "{key.collection}" ({names}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {sets}'  # noqa: S608
    work.execute(sql, values)


def _column(value: Any) -> Any:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list | tuple) else value
