"""Where a store lies: enough to open it again, also in another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from headgate.sources import RandomIds, SystemTiming
from headgate.store.committer import Budget
from headgate.store.port import Backend
from headgate.store.reader import Store
from headgate.store.sqlite import open_sqlite


class Place(Protocol):
    """Can be sent to another process."""

    def open(self) -> Backend:
        """A backend of its own, as a process of its own would have it."""


@dataclass(frozen=True)
class SqlitePlace:
    """A file."""

    path: str

    def open(self) -> Backend:
        return open_sqlite(self.path, sync="normal")


@dataclass(frozen=True)
class FirestorePlace:
    """A project on an emulator."""

    project: str
    host: str

    def open(self) -> Backend:
        from headgate.store.firestore import FirestoreBackend

        return FirestoreBackend(self.project, emulator_host=self.host, timing=SystemTiming(), new_id=RandomIds().commit)


def store_over(backend: Backend, budget: Budget | None = None) -> Store:
    """A store with a committer of its own: to every other it is another process."""
    return Store(backend, SystemTiming(), RandomIds().commit, budget or Budget())
