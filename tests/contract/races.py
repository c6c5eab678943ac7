"""Races over one place, from as many processes and threads as asked for. The same functions run on the product and on
the naive doors of tests/support/naive.py, where they must fail."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from headgate.core.policy import OnLimit, Policy
from headgate.flow.submit import Accepted, Answer
from tests.support.crew import Crew, Meet
from tests.support.figures import spread
from tests.support.live import Live
from tests.support.places import Place, store_over
from tests.support.threads import all_well, together

Asked = Mapping[str, Any]
"""`tenant`, and what else a submission says."""


class Submits(Protocol):
    """One process's way in."""

    def submit(self, tenant: str, key: str | None = None, kind: str = "command", **asked: Any) -> Answer: ...

    def close(self) -> None: ...


Door = Callable[[Place, Policy], Submits]
"""Opens a place as a process of its own would."""


@dataclass(frozen=True)
class Crowd:
    """Who races: so many processes with so many threads each. `policy` = fields of a Policy."""

    processes: int
    threads: int
    policy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.processes * self.threads


@dataclass(frozen=True)
class Outcome:
    """What one caller was told: `admitted`, `queued`, a code, or what was raised."""

    asked: Asked
    word: str
    seconds: float
    run_id: str | None = None
    scope: str | None = None
    replayed: bool = False


def headgate_door(place: Place, policy: Policy) -> Live:
    """The product."""
    return Live(store_over(place.open()), policy)


def race(crew: Crew, place: Place, door: Door, crowd: Crowd, asked: Sequence[Asked]) -> list[Outcome]:
    """Everybody submits at the same moment; `asked` is dealt round. Prints how long they took."""
    dealt = [
        [asked[(p + i * crowd.processes) % len(asked)] for i in range(crowd.threads)] for p in range(crowd.processes)
    ]
    parts = [(place, door, dict(crowd.policy), some) for some in dealt]
    outcomes = [outcome for some in crew.run(_submit_all, parts) for outcome in some]
    words = dict(Counter(outcome.word for outcome in outcomes))
    print(f"\n{crowd.processes} x {crowd.threads}: {words}; {spread([outcome.seconds for outcome in outcomes])}")
    return outcomes


def _submit_all(meet: Meet, place: Place, door: Door, policy: dict[str, Any], asked: list[Asked]) -> list[Outcome]:
    with contextlib.closing(door(place, Policy(**policy))) as opened:
        meet()
        return all_well(together([partial(_one, opened, one) for one in asked]))


def _one(opened: Submits, asked: Asked) -> Outcome:
    began = time.monotonic()
    try:
        answer = opened.submit(**asked)
    except Exception as error:
        return Outcome(asked, f"gave up: {error!r}", time.monotonic() - began)
    seconds = time.monotonic() - began
    if isinstance(answer, Accepted):
        word = "admitted" if answer.status == 201 else "queued"
        return Outcome(asked, word, seconds, answer.run.id, replayed=answer.replayed)
    return Outcome(asked, str(answer.refusal.code), seconds, scope=answer.refusal.scope)


def words(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return dict(Counter(outcome.word for outcome in outcomes))


def admit_exactly_the_cap(crew: Crew, place: Place, door: Door, crowd: Crowd, cap: int, tenant: str = "acme") -> None:
    """One tenant, nobody waits in line: `cap` are admitted, all others refused by the plan's limit, none gives up."""
    outcomes = race(crew, place, door, crowd, [{"tenant": tenant, "on_limit": OnLimit.REJECT}])
    told = words(outcomes)
    assert told == {"admitted": cap, "PLAN_LIMIT_CONCURRENCY": crowd.size - cap}, told
    with contextlib.closing(headgate_door(place, Policy(**crowd.policy))) as live:
        live.assert_books_balance()
        assert len(live.tenant(tenant).holders) == cap
