"""What chance decides in the proof of deliveries, so that it can be written down and repeated.

Each kind of decision is a list in the order in which it is asked for. The threads are real: which of them asks next is the
machine's, so a schedule repeats the decisions and not their interleaving. When a list is at its end, the seed goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

from headgate.verify import schedule_file
from headgate.verify.schedule_file import Part

T = TypeVar("T")
STALL, FAIL, TWICE = "stall", "fail", "twice"
WORDS = (STALL, FAIL, TWICE)
FORGED = ("fence", "run")
MOST_COPIES = 100
KINDS = ("publications", "order", "attempts", "late")


class Late(NamedTuple):
    """An old message once more: which of all (a share of the way through them), and what is forged in it."""

    which: float
    forged: str | None = None


@dataclass
class Decisions:
    """Decisions of one proof: `given` by a file as far as they go, else drawn from `rng`; `made` are all, in order."""

    seed: int
    n: int
    given: Mapping[str, deque[Any]] = field(default_factory=lambda: {kind: deque() for kind in KINDS})
    made: Mapping[str, list[Any]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def __post_init__(self) -> None:
        """The chance of what is not given."""
        self.rng = Random(self.seed)
        self._lock = threading.Lock()

    def copies(self) -> int:
        """Of a message that is published: how often it will be delivered. 0: the broker is away, and the caller is told."""
        return self._next("publications", lambda: 0 if self.rng.random() < 0.01 else self.rng.choice((1, 1, 2, 3)))

    def place(self) -> float:
        """Which of the messages that wait comes next, as a share of the way through them."""
        return self._next("order", self.rng.random)

    def attempt(self) -> frozenset[str]:
        """What becomes of an attempt besides: it stalls past its lease, fails and is tried again, says its outcome twice."""
        return frozenset(self._next("attempts", self._drawn_attempt).split())

    def late(self) -> Late:
        """One of the messages that come when everything is over."""
        return self._next("late", self._drawn_late)

    def _drawn_attempt(self) -> str:
        chances = ((STALL, 0.02), (FAIL, 0.1), (TWICE, 0.1))
        return " ".join(word for word, chance in chances if self.rng.random() < chance)

    def _drawn_late(self) -> Late:
        forged = self.rng.choice(FORGED) if self.rng.random() < 0.05 else None
        return Late(self.rng.random(), forged)

    def _next(self, kind: str, draw: Callable[[], T]) -> T:
        with self._lock:
            waiting = self.given[kind]
            decision: T = waiting.popleft() if waiting else draw()
            self.made[kind].append(decision)
            return decision

    # --- files

    @classmethod
    def load(cls, file: Path) -> Decisions:
        """Those of a file. Raises InvalidRequest, which names the field."""
        parts = schedule_file.read(file).fields("seed", "n", optional=KINDS)
        readers: dict[str, Callable[[Part], Any]] = {
            "publications": lambda part: part.whole(0, MOST_COPIES),
            "order": lambda part: part.number(0, 1),
            "attempts": _attempt,
            "late": _late,
        }
        given = {kind: deque(map(readers[kind], parts[kind].list() if kind in parts else ())) for kind in KINDS}
        return cls(seed=parts["seed"].whole(-(2**53)), n=parts["n"].whole(1, 1_000_000), given=given)

    def save(self, file: Path) -> None:
        """Those that were made. Raises InvalidRequest."""
        late = [{"which": one.which, **({"forged": one.forged} if one.forged else {})} for one in self.made["late"]]
        schedule_file.write(file, {"seed": self.seed, "n": self.n, **self.made, "late": late})


def _attempt(part: Part) -> str:
    words = part.value.split() if isinstance(part.value, str) else None
    if words is None or not set(words) <= set(WORDS):
        part.wrong(f"must be a text of none or some of {', '.join(WORDS)}")
    return " ".join(words)


def _late(part: Part) -> Late:
    parts = part.fields("which", optional=("forged",))
    forged = parts["forged"].one_of(*FORGED) if "forged" in parts else None
    return Late(parts["which"].number(0, 1), forged)
