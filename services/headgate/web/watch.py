"""Who follows which run, and what wakes them: changes made in this process at once, those made by others within a second.

There is no thread and no query per follower: one task looks at all followed runs together. What wakes a follower is a
hint; it reads the run itself, so a hint too many costs a read and a hint too few a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from headgate.core.errors import Unavailable
from headgate.core.run import Run, RunState
from headgate.flow.deps import Deps
from headgate.flow.overview import LineView, lines_of
from headgate.web.feed import Entry, line_entry, worth_telling

T = TypeVar("T")

POLL_SECONDS = 1.0
READERS = 8
"""Threads that read the store for all streams of this process."""


LINES_AT_ONCE = 8
"""Places that are looked up a second and tenant, however many streams follow its queued runs: they take turns."""


class Follower:
    """One stream's interest in a run. `seen` is the number of the last event it has read; `wants_line` = also in its
    place, as long as it is queued."""

    def __init__(self, seen: int, wants_line: bool = False) -> None:
        self.seen = seen
        self.wants_line = wants_line
        self._news = asyncio.Event()
        self._told: LineView | None = None
        self._line: Entry | None = None

    def place(self, line: LineView, at: int) -> None:
        """The run's place is this (at ms); a place that tells something new wakes."""
        if self.wants_line and worth_telling(self._told, line):
            self._told, self._line = line, line_entry(line, at)
            self._news.set()

    def take_line(self) -> list[Entry]:
        """The place that has not been told yet, if any."""
        line, self._line = self._line, None
        return [] if line is None else [line]

    def wake(self) -> None:
        """There may be news."""
        self._news.set()

    def reading(self) -> None:
        """Say so before reading: what changes meanwhile wakes again."""
        self._news.clear()

    async def news(self, patience: float) -> bool:
        """Wait for news, at most so many seconds; False when there were none."""
        try:
            await asyncio.wait_for(self._news.wait(), patience)
        except TimeoutError:
            return False
        return True


class Watch:
    """The followers of one process. Lives in one event loop; only `_announced` is called from other threads."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="stream")
        self._followers: dict[str, set[Follower]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poller: asyncio.Task[None] | None = None
        self._looked: dict[str, int] = {}
        self._looks = 0
        self.ending = False
        """The process is about to stop: streams end in peace, their clients come back to another one."""
        deps.changes.listen(self._announced)

    @contextlib.contextmanager
    def follow(self, run_id: str, seen: int, wants_line: bool = False) -> Iterator[Follower]:
        """Be woken when the run may have changed, as long as the context lasts."""
        follower = Follower(seen, wants_line)
        self._followers.setdefault(run_id, set()).add(follower)
        self._loop = asyncio.get_running_loop()
        if self._poller is None or self._poller.done():
            self._poller = self._loop.create_task(self._poll())
        try:
            yield follower
        finally:
            self._followers[run_id].discard(follower)
            if not self._followers[run_id]:
                del self._followers[run_id]

    async def read(self, ask: Callable[[], T]) -> T:
        """What `ask` gives, asked in a thread of the streams' own."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: context.run(ask))

    def end(self) -> None:
        """End all streams. From any thread."""
        self.ending = True
        self._soon(self._wake_all)

    def close(self) -> None:
        """Give the threads back."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _announced(self, run_ids: Sequence[str]) -> None:
        followed = [run_id for run_id in run_ids if run_id in self._followers]
        if followed:
            self._soon(lambda: self._wake(followed))

    def _soon(self, act: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody follows any more
                loop.call_soon_threadsafe(act)

    def _wake(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            for follower in self._followers.get(run_id, ()):
                follower.wake()

    def _wake_all(self) -> None:
        self._wake(list(self._followers))

    async def _poll(self) -> None:
        """Look at every followed run, once a second while there is one: other processes write them, too."""
        while self._followers:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._look()
            except Unavailable as down:
                self._deps.telemetry.warning("stream.poll_failed", reason=str(down.code), detail=down.detail)
            except Exception as error:  # noqa: BLE001 - one bad document must not leave all streams deaf; it is reported
                self._deps.telemetry.error("stream.poll_error", error)

    async def _look(self) -> None:
        run_ids = list(self._followers)
        runs = await self.read(lambda: self._deps.store.get_all(Run, run_ids))
        for run_id, run in zip(run_ids, runs, strict=True):
            for follower in self._followers.get(run_id, ()):
                if run is None or run.event_seq > follower.seen:
                    follower.wake()
        await self._look_at_lines([run for run in runs if run is not None and self._wants_line(run)])

    def _wants_line(self, run: Run) -> bool:
        queued = run.state is RunState.QUEUED
        return queued and any(follower.wants_line for follower in self._followers.get(run.id, ()))

    async def _look_at_lines(self, queued: Sequence[Run]) -> None:
        """Places of queued runs: one look a tenant for all its streams; those that have waited longest for one first."""
        self._looked = {run.id: self._looked.get(run.id, 0) for run in queued}
        by_tenant: dict[str, list[Run]] = {}
        for run in sorted(queued, key=lambda run: self._looked[run.id]):
            by_tenant.setdefault(run.tenant, []).append(run)
        for runs in by_tenant.values():
            self._looks += 1
            turn = runs[:LINES_AT_ONCE]
            self._looked |= dict.fromkeys((run.id for run in turn), self._looks)
            lines, now = await self.read(partial(self._lines, turn))
            for run_id, line in lines.items():
                for follower in self._followers.get(run_id, ()):
                    follower.place(line, now)

    def _lines(self, runs: Sequence[Run]) -> tuple[dict[str, LineView], int]:
        return lines_of(self._deps, runs), self._deps.store.now()
