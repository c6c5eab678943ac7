"""Where a proof takes place: a store of its own, made for it and left behind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headgate.sources import RandomIds, SystemTiming
from headgate.store.port import Backend, Key, Query, Read, Write
from headgate.store.sqlite import SqliteBackend, open_sqlite

Clock = Callable[[], int]
OpenStore = Callable[[Clock], Backend]
"""Makes a fresh store that knows no time but the clock's."""
PATIENCE = 30.0
"""Seconds for a call of a store that is driven in virtual time: there a slow answer must not look like an outage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Which store; it can be sent to another process. `emulator` (host:port) is Firestore's, `folder` SQLite's."""

    store: Literal["sqlite", "firestore"] = "sqlite"
    emulator: str | None = None
    folder: Path | None = None

    def virtual(self, clock: Clock) -> Backend:
        """A fresh store that knows no time but the clock's: SQLite in memory, or a project of its own."""
        if self.store == "sqlite":
            return SqliteBackend(":memory:", "off", clock)
        return VirtualTime(self.open(fresh_name()), clock)

    def open(self, name: str) -> Backend:
        """The store of that name, with time of its own. Opened twice it is two processes' way to the same store."""
        if self.store == "sqlite":
            assert self.folder is not None
            return open_sqlite(self.folder / f"{name}.db", sync="normal")
        from headgate.store.firestore import FirestoreBackend  # grpc takes half a second to import

        return FirestoreBackend(name, emulator_host=self.emulator, timing=SystemTiming(), new_id=RandomIds().commit)


def fresh_name() -> str:
    """A name that no store has yet; a Firestore project may be called so."""
    return RandomIds().new("verify").replace("_", "-")


@dataclass(frozen=True, slots=True)
class VirtualTime:
    """A real store whose time is the simulation's: every answer is as of the virtual now, and may take its real time."""

    inner: Backend
    clock: Clock

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        """See Backend."""
        return Read(self.inner.get(keys, PATIENCE).found, self.clock())

    def query(self, query: Query, timeout: float) -> Read:
        """See Backend."""
        return Read(self.inner.query(query, PATIENCE).found, self.clock())

    def count(self, query: Query, timeout: float) -> int:
        """See Backend."""
        return self.inner.count(query, PATIENCE)

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        """See Backend."""
        self.inner.commit(writes, PATIENCE)

    def ping(self, timeout: float) -> None:
        """See Backend."""
        self.inner.ping(PATIENCE)

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        """See Backend."""
        self.inner.clear(keys, PATIENCE)

    def close(self) -> None:
        """See Backend."""
        self.inner.close()
