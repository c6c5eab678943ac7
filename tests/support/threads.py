"""Many threads at once, and what came of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def together(acts: Sequence[Callable[[], T]], timeout: float = 60.0) -> list[T | BaseException]:
    """All acts at the same moment, each in a thread of its own: the answers, or what was raised. Fails if one hangs."""
    answers: dict[int, T | BaseException] = {}
    barrier = threading.Barrier(len(acts))

    def act(index: int) -> None:
        barrier.wait(timeout)
        try:
            answers[index] = acts[index]()
        except BaseException as error:
            answers[index] = error

    threads = [threading.Thread(target=act, args=(index,), daemon=True) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
    hanging = [index for index in range(len(acts)) if index not in answers]
    assert not hanging, f"{len(hanging)} of {len(acts)} have not answered within {timeout} s"
    return [answers[index] for index in range(len(acts))]


def all_well(answers: Sequence[T | BaseException]) -> list[T]:
    """The answers; raises the first error among them."""
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]
