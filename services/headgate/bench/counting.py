"""Counts what a store would bill: documents read (a query reads at least one) and documents written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from headgate.store.port import Backend, Key, Query, Read, Write


@dataclass
class CountingBackend:
    """A backend that counts."""

    inner: Backend
    reads: int = 0
    writes: int = 0

    def reset(self) -> None:
        self.reads = self.writes = 0

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        self.reads += len(keys)
        return self.inner.get(keys, timeout)

    def query(self, query: Query, timeout: float) -> Read:
        read = self.inner.query(query, timeout)
        self.reads += max(1, len(read.found))
        return read

    def count(self, query: Query, timeout: float) -> int:
        number = self.inner.count(query, timeout)
        self.reads += max(1, -(-number // 1000))
        return number

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self.writes += len(writes)
        self.inner.commit(writes, timeout)

    def ping(self, timeout: float) -> None:
        self.inner.ping(timeout)

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        self.inner.clear(keys, timeout)

    def close(self) -> None:
        self.inner.close()
