"""Backends around a real backend: what happens between a store and its callers, made to happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from headgate.store.port import Ambiguous, Backend, Key, Outage, Query, Read, Write


class Wrapped:
    """Passes everything on; a subclass changes what it is about."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        return self.inner.get(keys, timeout)

    def query(self, query: Query, timeout: float) -> Read:
        return self.inner.query(query, timeout)

    def count(self, query: Query, timeout: float) -> int:
        return self.inner.count(query, timeout)

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self.inner.commit(writes, timeout)

    def ping(self, timeout: float) -> None:
        self.inner.ping(timeout)

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        self.inner.clear(keys, timeout)

    def close(self) -> None:
        self.inner.close()


class Hooked(Wrapped):
    """Counts commits, and lets a test wait, write or raise before one."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.commits = 0
        self.before_commit: Callable[[Sequence[Write]], object] = lambda writes: None

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self.before_commit(writes)
        self.inner.commit(writes, timeout)
        self.commits += 1


class Mortal(Wrapped):
    """Once dead it never answers: every call takes its whole timeout."""

    dead = False

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        self._answer(timeout, Outage("dead"))
        return self.inner.get(keys, timeout)

    def query(self, query: Query, timeout: float) -> Read:
        self._answer(timeout, Outage("dead"))
        return self.inner.query(query, timeout)

    def count(self, query: Query, timeout: float) -> int:
        self._answer(timeout, Outage("dead"))
        return self.inner.count(query, timeout)

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self._answer(timeout, Ambiguous("dead"))
        self.inner.commit(writes, timeout)

    def _answer(self, timeout: float, problem: Exception) -> None:
        if self.dead:
            time.sleep(timeout)
            raise problem
