"""Real processes that wait for work, so that a race does not pay for starting them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

SIZE = 4
MEETING = 60.0
"""Seconds until all parts of a task must have come to their start."""

_barriers: dict[int, Barrier] = {}

Meet = Callable[[], object]
"""Waits until every part of the task has come here: call it when all is open and the race may begin."""


class Crew:
    """`SIZE` processes. Parts of a task run at the same moment, each in a process of its own."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # threads and gRPC do not survive a fork
        self._barriers = {parties: context.Barrier(parties) for parties in range(1, SIZE + 1)}
        self._pool = ProcessPoolExecutor(SIZE, context, initializer=_begin, initargs=(self._barriers,))
        assert len(set(self.run(_who, [()] * SIZE))) == SIZE

    def run(self, act: Callable[..., Any], parts: Sequence[tuple[Any, ...]], timeout: float = 110.0) -> list[Any]:
        """`act(meet, *part)` of every part; whatever one raises is raised here."""
        self._barriers[len(parts)].reset()
        futures = [self._pool.submit(_part, act, len(parts), part) for part in parts]
        return [future.result(timeout) for future in futures]

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin(barriers: dict[int, Barrier]) -> None:
    _barriers.update(barriers)


def _part(act: Callable[..., Any], parties: int, part: tuple[Any, ...]) -> Any:
    try:
        return act(lambda: _barriers[parties].wait(MEETING), *part)
    except BaseException:
        _barriers[parties].abort()  # nobody must wait for this one
        raise


def _who(meet: Meet) -> int:
    meet()
    return os.getpid()


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    """This test process's crew."""
    made = Crew()
    yield made
    made.close()
