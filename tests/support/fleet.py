"""A fleet in virtual time: tenants with endless lines, a few slots, and a rule that says whose turn it is."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count, repeat
from typing import Any

from headgate.core.fairness import pick
from headgate.core.tenant import Holder, Tenant, give, lifted, refreshed, take

Rule = Callable[[Iterable[Tenant]], Tenant | None]
READY = {"command": 1}


@dataclass
class Fleet:
    """`durations` are the seconds that each tenant's next runs take; a tenant whose line ends offers no more."""

    slots: int
    durations: Mapping[str, Iterator[float]]
    weights: Mapping[str, float] = field(default_factory=dict)
    expected: float = 10.0
    rule: Rule = pick
    catches_up: bool = True
    scopes: Mapping[str, Iterator[tuple[str, ...]]] = field(default_factory=dict)
    """The users and repositories that a tenant's next runs belong to."""
    now: float = 0.0
    v: float = 0.0
    starts: list[tuple[float, str]] = field(default_factory=list)
    held: dict[str, float] = field(default_factory=dict)
    """Slot-seconds of the runs that have ended."""

    def __post_init__(self) -> None:
        made = {t: Tenant(id=t, plan="pro", cap=1_000, weight=self.weights.get(t, 1.0)) for t in self.durations}
        self.tenants: dict[str, Tenant] = made
        self.held = dict.fromkeys(made, 0.0)
        self._ends: list[tuple[float, int, str]] = []
        self._numbers = count()

    def arrive(self, *tenants: str) -> None:
        """These have runs in line from now on. Who begins to offer starts at the fleet's virtual time."""
        for id in tenants:
            floor = self.v if self.catches_up else 0.0
            self.tenants[id] = refreshed(lifted(replace(self.tenants[id], ready=READY), floor))

    def run(self, until: float) -> Fleet:
        """Start what can start; end what ends, up to that moment."""
        self._start()
        while self._ends and self._ends[0][0] <= until:
            self.now, number, id = heapq.heappop(self._ends)
            self._end(id, f"run_{number}")
            self._start()
        self.now = until
        return self

    def _end(self, id: str, run: str) -> None:
        tenant = self.tenants[id]
        self.held[id] += self.now - tenant.holders[run].since / 1000
        self.tenants[id] = refreshed(give(tenant, run, round(self.now * 1000)))

    def _start(self) -> None:
        while len(self._ends) < self.slots and (next_up := self.rule(self.tenants.values())) is not None:
            number, id = next(self._numbers), next_up.id
            self.tenants[id] = refreshed(take(next_up, f"run_{number}", self._holder(id)))
            self.v = max(self.v, next_up.served)
            self.starts.append((self.now, id))
            heapq.heappush(self._ends, (self.now + next(self.durations[id]), number, id))

    def _holder(self, id: str) -> Holder:
        scopes = next(self.scopes[id]) if id in self.scopes else ()
        return Holder(since=round(self.now * 1000), expected=self.expected, kind="command", scopes=scopes)

    def started(self, after: float = 0.0, before: float = float("inf")) -> dict[str, int]:
        """How many runs of each tenant began in that time."""
        return {t: sum(t == id and after <= at < before for at, id in self.starts) for t in self.tenants}


def a_fleet(slots: int, seconds: Mapping[str, float], **fields: Any) -> Fleet:
    """Tenants whose runs all take the same time."""
    return Fleet(slots, {t: repeat(each) for t, each in seconds.items()}, **fields)
