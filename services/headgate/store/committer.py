"""Transactions by precondition, combined before they contend.

`Store.transact(body, key)` runs `body(tx)`: read, decide, write. Nothing is locked; the commit succeeds only if every
document it relied on still has the version that was read, else everything is read and decided again.

Callers in this process that share a key (the tenant) do not race each other: the first leads, folds up to 64 waiting
bodies over one view and commits them as one; only processes race. Uncombined, 200 callers on one tenant starve.

If the process dies before the commit nothing happened; if it dies after, everything did.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from headgate.core.errors import Code, Unavailable
from headgate.store.breaker import Breaker
from headgate.store.port import Ambiguous, Backend, Conflict, Key, Outage
from headgate.store.transaction import Torn, Tx

T = TypeVar("T")

MAX_BODIES = 64
MAX_BYTES = 4 * 1024 * 1024


class Timing(Protocol):
    """Where the store's waiting comes from, so that tests and the simulator own it."""

    def monotonic(self) -> float:
        """Seconds, only ever forward."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def random(self) -> float:
        """0 ≤ x < 1, for jitter."""


class Signal(Protocol):
    """What a caller waits for while another leads; `threading.Event` is one."""

    def set(self) -> None:
        """Wake who waits."""

    def wait(self) -> object:
        """Wait until it is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a caller may wait, in seconds: for its turn under contention, for a store that does not answer, for one call."""

    contention: float = 10.0
    outage: float = 2.5
    call: float = 2.0


@dataclass(eq=False, slots=True)
class _Job(Generic[T]):
    """One caller's body on its way through a commit."""

    body: Callable[[Tx], T]
    deadline: float
    weight: int
    done: Signal
    finished: bool = False
    value: Any = None
    error: BaseException | None = None

    def end(self, error: BaseException | None = None) -> None:
        self.error, self.finished = error, True
        self.done.set()

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        value: T = self.value
        return value


@dataclass(slots=True)
class _Doubt:
    """A commit whose reply was lost, and what its bodies had answered."""

    commit_id: str
    keys: list[Key]
    answers: list[tuple[_Job[Any], Any, BaseException | None]]


@dataclass(slots=True)
class _Group:
    """Jobs that are tried together, and those of their commits whose reply was lost."""

    jobs: list[_Job[Any]]
    attempt: int = 0
    doubts: list[_Doubt] = field(default_factory=list)

    def halves(self) -> list[_Group]:
        """The same jobs for the next attempt, in two groups: one contended body does not hold up the rest."""
        half = (len(self.jobs) + 1) // 2
        parts = (self.jobs[:half], self.jobs[half:])
        return [_Group(part, self.attempt + 1, list(self.doubts)) for part in parts if part]


class Committer:
    """Runs bodies of one backend; one per process."""

    def __init__(
        self,
        backend: Backend,
        timing: Timing,
        new_id: Callable[[], str],
        budget: Budget,
        breaker: Breaker,
        signal: Callable[[], Signal] = threading.Event,
    ) -> None:
        self._signal = signal
        self._breaker = breaker
        self._backend = backend
        self._timing = timing
        self._new_id = new_id
        self._budget = budget
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[_Job[Any]]] = {}

    def transact(self, body: Callable[[Tx], T], key: str, *, deadline: float | None = None, weight: int = 0) -> T:
        """What `body` returns, once its writes are committed. `deadline` in seconds from now; `weight` = bytes it writes.

        `body` may run several times and must not mind. What it raises is raised here and its writes are dropped.
        Raises Unavailable: STORE_CONTENTION when the budget is spent, STORE_UNAVAILABLE when the store does not answer.
        """
        self._breaker.admit()
        ends = self._timing.monotonic() + (deadline or self._budget.contention)
        job: _Job[T] = _Job(body, ends, weight, self._signal())
        with self._lock:
            leads = key not in self._waiting
            self._waiting.setdefault(key, deque()).append(job)
        if not leads:
            job.done.wait()
        if not job.finished:
            self._lead(key, job)
        return job.outcome()

    def _lead(self, key: str, own: _Job[Any]) -> None:
        """Commit what waits under the key until the own job is done, then hand the lead to the next waiting caller."""
        try:
            while not own.finished:
                self._settle(key, self._next_batch(key))
        finally:
            with self._lock:
                queue = self._waiting[key]
                if queue:
                    queue[0].done.set()  # not finished: it wakes up as the leader
                else:
                    del self._waiting[key]

    def _next_batch(self, key: str) -> list[_Job[Any]]:
        batch: list[_Job[Any]] = []
        size = 0
        with self._lock:
            queue = self._waiting[key]
            while queue and len(batch) < MAX_BODIES and (not batch or size + queue[0].weight <= MAX_BYTES):
                batch.append(queue.popleft())
                size += batch[-1].weight
        return batch

    def _settle(self, key: str, batch: list[_Job[Any]]) -> None:
        """Bring every job of the batch to its end; a failure that is nobody's own ends them all."""
        try:
            self._commit(batch)
        except BaseException as failure:
            if isinstance(failure, Unavailable):
                batch = batch + self._all_waiting(key)  # they have waited for this very store; it will not answer them
            for job in batch:
                if not job.finished:
                    job.end(failure)
            if not isinstance(failure, Exception):
                raise

    def _all_waiting(self, key: str) -> list[_Job[Any]]:
        with self._lock:
            jobs = list(self._waiting[key])
            self._waiting[key].clear()
        return jobs

    def _commit(self, batch: list[_Job[Any]]) -> None:
        """Try until every job is done. What conflicts is split and goes to the end of the queue.

        Raises Unavailable when the store has not answered for as long as we wait for it.
        """
        groups = deque([_Group(batch)])
        trouble_since: float | None = None
        while groups:
            group = groups.popleft()
            if not self._in_time(group):
                continue
            started = self._timing.monotonic()
            try:
                self._attempt(group, self._call_timeout(trouble_since, started))
                trouble_since = None
                self._breaker.answered()
            except (Conflict, Torn):
                trouble_since = None
                self._breaker.answered()  # a conflict is an answer too
                self._pause(group.attempt)
                groups.extend(group.halves())
            except (Outage, Ambiguous) as problem:
                trouble_since = trouble_since or started
                if self._timing.monotonic() - trouble_since >= self._budget.outage - 0.1:
                    self._breaker.failed()
                    raise _unavailable(problem, group.doubts) from problem
                self._pause(group.attempt)
                groups.append(_Group(group.jobs, group.attempt + 1, group.doubts))
            except Exception as error:  # noqa: BLE001 - what somebody wants to write cannot be stored: find out whose it is
                if len(group.jobs) == 1:
                    group.jobs[0].end(error)
                else:
                    groups.extend(group.halves())

    def _call_timeout(self, trouble_since: float | None, now: float) -> float:
        """One call's time: the usual, but never past the end of the patience with a silent store."""
        if trouble_since is None:
            return self._budget.call
        return min(self._budget.call, max(0.1, self._budget.outage - (now - trouble_since)))

    def _attempt(self, group: _Group, timeout: float) -> None:
        """Run the bodies over one view and commit what they write.

        An earlier attempt whose reply was lost may have been applied, or may still be. If this very view shows it, its
        answers stand. If not, this commit rewrites what that one relied on: after it, that one can never be applied.
        """
        tx = Tx(self._backend, timeout, group.attempt, self._timing.random(), shared=len(group.jobs) > 1)
        for doubt in group.doubts:
            if tx.settles(doubt.commit_id, doubt.keys):
                return _answer(doubt.answers)
        answers = [(job, *_run(job, tx)) for job in group.jobs]
        commit_id = self._new_id()
        writes = tx.writes(commit_id)
        if writes:
            try:
                self._backend.commit(writes, timeout)
            except Ambiguous:
                group.doubts.append(_Doubt(commit_id, tx.written_keys(), answers))
                raise
        return _answer(answers)

    def _in_time(self, group: _Group) -> bool:
        """Whether anybody of the group still waits; those whose time is over are told."""
        now = self._timing.monotonic()
        for job in group.jobs:
            if job.deadline <= now and not job.finished:
                job.end(_contention(group.doubts))
        group.jobs = [job for job in group.jobs if not job.finished]
        return bool(group.jobs)

    def _pause(self, attempt: int) -> None:
        """Full jitter, 10 ms doubling to 300 ms."""
        self._timing.sleep(min(0.3, 0.01 * 2 ** min(attempt, 5)) * self._timing.random())


def _run(job: _Job[Any], tx: Tx) -> tuple[Any, BaseException | None]:
    """One body over the shared view; what it raises takes only its own writes with it."""
    mark = tx.savepoint()
    try:
        return job.body(tx), None
    except (Conflict, Torn, Outage, Ambiguous):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer to its own caller
        tx.rollback(mark)
        return None, error


def _answer(answers: list[tuple[_Job[Any], Any, BaseException | None]]) -> None:
    for job, value, error in answers:
        if not job.finished:
            job.value = value
            job.end(error)


def _contention(doubts: list[_Doubt]) -> Unavailable:
    known = _UNKNOWN if doubts else "Nothing was changed. Try again."
    return Unavailable(f"Too many callers change the same tenant at once. {known}", code=Code.STORE_CONTENTION)


def _unavailable(problem: Exception, doubts: list[_Doubt]) -> Unavailable:
    return Unavailable(f"The store does not answer ({problem}). {_UNKNOWN if doubts else ''}".rstrip())


_UNKNOWN = "It is not known whether the change was made: repeat it with the same Idempotency-Key."
