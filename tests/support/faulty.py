"""A backend whose replies to commits get lost, by a plan that a seed makes."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Sequence

from headgate.store.port import Ambiguous, Backend, Conflict, Key, Outage, Query, Read, Write
from tests.support.wrapped import Wrapped

FATES = ("applied", "lost", "late", "outage")
"""What happens to a commit whose caller is told nothing: it was applied, it was not, it is applied after some more
reads (so perhaps after the one that looked for it), it surely was not."""


class Faulty(Wrapped):
    """Commits meet one of FATES with probability `rate`."""

    def __init__(self, inner: Backend, seed: int, rate: float = 0.4, fates: tuple[str, ...] = FATES) -> None:
        super().__init__(inner)
        self.met: dict[str, int] = dict.fromkeys(fates, 0)
        self._chance = random.Random(seed)
        self._rate, self._fates = rate, fates
        self._late: list[tuple[int, Sequence[Write]]] = []
        self._lock = threading.Lock()

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        read = self.inner.get(keys, timeout)
        self._land(1)
        return read

    def query(self, query: Query, timeout: float) -> Read:
        read = self.inner.query(query, timeout)
        self._land(1)
        return read

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        fate = self._fate(writes)
        if fate == "outage":
            raise Outage("nothing was sent")
        if fate in ("fine", "applied"):
            self.inner.commit(writes, timeout)
        if fate != "fine":
            raise Ambiguous(f"no reply: {fate}")

    def heal(self) -> None:
        """From now on replies come; what is still on its way lands."""
        self._rate = 0.0
        self._land(10**9)

    def _fate(self, writes: Sequence[Write]) -> str:
        with self._lock:
            if self._chance.random() >= self._rate:
                return "fine"
            fate = self._chance.choice(self._fates)
            self.met[fate] += 1
            if fate == "late":
                self._late.append((self._chance.randint(1, 6), writes))
            return fate

    def _land(self, reads: int) -> None:
        with self._lock:
            due = [writes for left, writes in self._late if left <= reads]
            self._late = [(left - reads, writes) for left, writes in self._late if left > reads]
        for writes in due:
            with contextlib.suppress(Conflict, Ambiguous):  # too late: somebody else wrote meanwhile
                self.inner.commit(writes, 10.0)
