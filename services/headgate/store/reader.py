"""Looking without touching: lists, counts, single documents. A Reader cannot write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from headgate.core.errors import Unavailable
from headgate.store.breaker import Breaker
from headgate.store.committer import Budget, Committer, Signal, Timing
from headgate.store.documents import D, collection_of, from_raw, where
from headgate.store.port import Ambiguous, Backend, Key, Outage, Query, Write
from headgate.store.transaction import Hint, Tx

T = TypeVar("T")

PAGE = 500


class Reader:
    """Reads with the patience of a request: raises Unavailable when the store does not answer in time."""

    def __init__(self, backend: Backend, timing: Timing, budget: Budget) -> None:
        self._backend = backend
        self._timing = timing
        self._budget = budget
        self._breaker = Breaker(timing.monotonic, budget.outage)

    def get(self, cls: type[D], id: str) -> D | None:
        """One document."""
        return self.get_all(cls, [id])[0]

    def get_all(self, cls: type[D], ids: Sequence[str]) -> list[D | None]:
        """Documents in the order of their ids, None where there is none."""
        keys = [Key(collection_of(cls), id) for id in ids]
        found = self._patiently(lambda timeout: self._backend.get(keys, timeout)).found
        return [None if f.raw is None else from_raw(cls, f.raw) for f in found]

    def query(self, cls: type[D], query: Query) -> list[D]:
        """What matches."""
        return [hint.value for hint in self.hints(cls, query)]

    def hints(self, cls: type[D], query: Query) -> list[Hint]:
        """What matches, to be adopted by a transaction."""
        found = self._patiently(lambda timeout: self._backend.query(query, timeout)).found
        return [Hint(from_raw(cls, f.raw), f) for f in found if f.raw is not None]

    def every(self, cls: type[D], *conditions: tuple[str, str, object]) -> Iterator[D]:
        """Every document that meets the conditions, by id, page by page."""
        after: tuple[str, ...] | None = None
        while True:
            page = self.hints(cls, where(cls, *conditions, limit=PAGE, after=after))
            for hint in page:
                yield hint.value
            if len(page) < PAGE:
                return
            after = (page[-1].found.key.id,)

    def count(self, query: Query) -> int:
        """How many match."""
        return self._patiently(lambda timeout: self._backend.count(query, timeout))

    def now(self) -> int:
        """The store's time, ms since 1970."""
        return self._patiently(lambda timeout: self._backend.get([], timeout)).now

    def ping(self) -> None:
        """Raises Unavailable unless the store would serve a request now: asked anew, whatever others have found."""
        self._patiently(self._backend.ping, Breaker(self._timing.monotonic, self._budget.outage))

    def _patiently(self, ask: Callable[[float], T], breaker: Breaker | None = None) -> T:
        breaker = breaker or self._breaker
        breaker.admit()
        started = self._timing.monotonic()
        while True:
            left = self._budget.outage - (self._timing.monotonic() - started)
            try:
                answer = ask(min(self._budget.call, max(0.1, left)))
                breaker.answered()
                return answer
            except (Outage, Ambiguous) as problem:  # a ping's own commit may be in doubt: it wrote nothing
                left = self._budget.outage - (self._timing.monotonic() - started)
                if left <= 0.1:
                    breaker.failed()
                    raise Unavailable(f"The store does not answer ({problem}).") from problem
                self._timing.sleep(min(0.1, left) * self._timing.random())


class Store(Reader):
    """What the flows hold: the reader, and transactions that combine callers of one key."""

    def __init__(
        self,
        backend: Backend,
        timing: Timing,
        new_id: Callable[[], str],
        budget: Budget,
        signal: Callable[[], Signal] = threading.Event,
    ) -> None:
        super().__init__(backend, timing, budget)
        # Of its own: where only writing hangs, as on a full disk, reading goes on.
        breaker = Breaker(timing.monotonic, budget.outage)
        self._committer = Committer(backend, timing, new_id, budget, breaker, signal)

    def transact(self, body: Callable[[Tx], T], key: str, *, deadline: float | None = None, weight: int = 0) -> T:
        """See Committer.transact."""
        return self._committer.transact(body, key, deadline=deadline, weight=weight)

    def remove(self, writes: Sequence[Write]) -> None:
        """Write without having read: retention and logs that nobody relies on. Raises Conflict, Ambiguous or Outage."""
        self._backend.commit(writes, self._budget.call)

    def close(self) -> None:
        """Give the backend's resources back."""
        self._backend.close()
