"""Where a process can be killed: every SQL statement, and before and after every touch of store and broker, by the
step it belongs to. Product code has no hooks: the points are the verbs of its ports, and what SQLite itself traces."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headgate.core.run import Run
from headgate.delivery.port import Message
from headgate.flow.dispatch import Dispatcher
from headgate.store.port import Backend, Conflict, Key, Query, Read, Write
from headgate.store.sqlite import SqliteBackend, _Commit, _holds, _write
from headgate.verify.faulty import Pigeonhole

STATEMENT = "statement"
FRESH = "statement: fresh"
"""A statement before which something is new: a statement that was no read, or an answer that was told. Whoever dies at
one that is not fresh leaves the same documents and the same promises as whoever dies at the fresh one before it."""
WRITE = "write"
"""A statement that writes: a kill there stands in the middle of a commit."""


@dataclass
class Points:
    """Counts the points a process passes, and kills it at the n-th passing of one. SIGKILL: nothing can soften it."""

    at: str | None = None
    n: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    step_name: str = "start"
    stands_for: list[int] = field(default_factory=list)
    """Of each fresh statement: how many statements there are from it to the next."""
    _news: bool = True

    def pass_(self, point: str) -> None:
        """The process is at this point."""
        self.passed[point] += 1
        if point == self.at and self.passed[point] == self.n:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, text: str) -> None:
        """The process is about to execute a statement."""
        if self._news:
            self.stands_for.append(0)
            self.pass_(FRESH)
        self.stands_for[-1] += 1
        self.pass_(STATEMENT)
        if text.startswith(("INSERT", "UPDATE", "DELETE")):
            self.pass_(WRITE)
        self._news = not text.startswith("SELECT")

    def told(self) -> None:
        """The process has answered somebody."""
        self._news = True

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What is done now: the first half of the names of the points inside."""
        outer, self.step_name = self.step_name, name
        try:
            yield
        finally:
            self.step_name = outer

    @contextlib.contextmanager
    def around(self, verb: str) -> Iterator[None]:
        """A point before and a point after."""
        self.pass_(f"{self.step_name}: before {verb}")
        yield
        self.pass_(f"{self.step_name}: after {verb}")


class TracedSqlite(SqliteBackend):
    """The real store; each statement it executes is a point."""

    def __init__(self, path: Path, points: Points) -> None:
        self._points = points
        super().__init__(str(path), "full", None)

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.set_trace_callback(self._points.statement)
        return connection


class Transactionless(TracedSqlite):
    """The negative control: the same writes, one by one, each by itself. It must be caught."""

    def _transaction(self, group: list[_Commit]) -> None:
        number = int(self._writer.execute("SELECT commits FROM clock").fetchone()[0])
        for job in group:
            number += 1
            self._writer.execute("UPDATE clock SET commits = ?", (number,))
            if not all(_holds(self._writer, write) for write in job.writes):
                job.error = Conflict("has changed")
                continue
            for write in job.writes:
                _write(self._writer, write, number)


@dataclass
class PointedBackend:
    """A way to the store with a point before and after each touch."""

    inner: Backend
    points: Points

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        """See Backend."""
        with self.points.around("read"):
            return self.inner.get(keys, timeout)

    def query(self, query: Query, timeout: float) -> Read:
        """See Backend."""
        with self.points.around("query"):
            return self.inner.query(query, timeout)

    def count(self, query: Query, timeout: float) -> int:
        """See Backend."""
        with self.points.around("count"):
            return self.inner.count(query, timeout)

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        """See Backend."""
        with self.points.around("commit"):
            self.inner.commit(writes, timeout)

    def ping(self, timeout: float) -> None:
        """See Backend."""
        self.inner.ping(timeout)

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        """See Backend."""
        with self.points.around("clear"):
            self.inner.clear(keys, timeout)

    def close(self) -> None:
        """See Backend."""
        self.inner.close()


@dataclass
class PointedBroker(Pigeonhole):
    """A broker inside the process, as the embedded one: what it holds dies with the process."""

    points: Points = field(default_factory=Points)

    def publish(self, message: Message, timeout: float) -> None:
        """See Delivery."""
        with self.points.around("publish"):
            super().publish(message, timeout)


class PointedDispatcher(Dispatcher):
    """The dispatcher, whose points are named after it whoever kicked it."""

    points = Points()

    def dispatch(self) -> dict[str, Run]:
        """See Dispatcher."""
        with self.points.step("dispatch"):
            return super().dispatch()
