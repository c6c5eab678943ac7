"""Races: many callers of one tenant at the same moment, from two processes' worth of committers. Exactly the cap wins.

Nobody waits in line here: whoever does not win is refused. More winners than the cap is over-admission, fewer (with
everybody answered) is under-admission; neither may happen, and nobody may be told to try again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random

from headgate.core.errors import Code, HeadgateError
from headgate.core.policy import PLANS, OnLimit, Policy
from headgate.core.submission import Submission
from headgate.core.tenant import Tenant
from headgate.flow import invariants
from headgate.flow.deps import Asking
from headgate.flow.submit import Accepted
from headgate.verify.faulty import Pigeonhole
from headgate.verify.ground import Ground, fresh_name
from headgate.verify.live import live_place, owner, percentile, prepare, together
from headgate.verify.places import Place

PROCESSES = 2
APART_SECONDS = 0.005
"""Callers start within this time of each other, as the seed draws it."""
TENANT = "acme"


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """One race: what the callers were told, and what was wrong with it. Times in seconds."""

    cap: int
    submitters: int
    admitted: int
    held: int
    gave_up: int
    p50: float
    p99: float
    violations: tuple[str, ...]

    def as_json(self) -> Mapping[str, object]:
        """For scripts."""
        counts = {"cap": self.cap, "submitters": self.submitters, "admitted": self.admitted, "held": self.held}
        times = {"p50Seconds": round(self.p50, 4), "p99Seconds": round(self.p99, 4)}
        return {**counts, "gaveUp": self.gave_up, **times, "violations": list(self.violations)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Races:
    """All of them."""

    races: tuple[Race, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Exactly the cap won each time, and the books were right afterwards."""
        return not any(race.violations for race in self.races)

    def as_json(self) -> Mapping[str, object]:
        """For scripts."""
        over = sum(max(0, race.admitted - race.cap) for race in self.races)
        under = sum(max(0, race.cap - race.admitted) for race in self.races)
        return {"races": [race.as_json() for race in self.races], "over": over, "under": under, "ok": self.ok}


def run_races(
    ground: Ground, seed: int, submitters: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Races:
    """A race at each plan's cap: 1, 5 and 20 by default."""
    plans = sorted(PLANS.values(), key=lambda plan: plan.concurrent)
    races = []
    for number, plan in enumerate(plans):
        progress(number, len(plans))
        races.append(_race(ground, plan.name, Random(f"{seed}/{plan.name}"), submitters))
    progress(len(plans), len(plans))
    return Races(races=tuple(races))


def _race(ground: Ground, plan: str, rng: Random, submitters: int) -> Race:
    name = fresh_name()
    places = [live_place(f"p{n}", ground.open(name), Pigeonhole(), Policy()) for n in range(PROCESSES)]
    try:
        prepare(places[0], [TENANT], plan)
        start = threading.Barrier(submitters)
        waits = [rng.random() * APART_SECONDS for _ in range(submitters)]
        calls = [partial(_one, places[n % PROCESSES], start, wait) for n, wait in enumerate(waits)]
        return _judged(places[0], plan, together(calls))
    finally:
        for place in places:
            place.deps.store.close()


def _one(place: Place, start: threading.Barrier, wait: float) -> tuple[str, float]:
    """What one caller was told, after how long."""
    start.wait()
    place.deps.timing.sleep(wait)
    began = place.deps.timing.monotonic()
    asked = Submission(kind="command", on_limit=OnLimit.REJECT)
    try:
        answer = place.submitter.submit(owner(TENANT), TENANT, asked, Asking())
    except HeadgateError as error:
        return f"gave up: {error.code}", place.deps.timing.monotonic() - began
    told = f"{answer.status}" if isinstance(answer, Accepted) else str(answer.refusal.code)
    return told, place.deps.timing.monotonic() - began


def _judged(place: Place, plan: str, told: list[tuple[str, float]]) -> Race:
    words = Counter(word for word, _ in told)
    seconds = [took for _, took in told]
    tenant = place.deps.store.get(Tenant, TENANT)
    cap, held = PLANS[plan].concurrent, len(tenant.holders) if tenant else 0
    wanted = {"201": min(cap, len(told)), str(Code.PLAN_LIMIT_CONCURRENCY): max(0, len(told) - cap)}
    wrong = [] if words == Counter(wanted) else [f"told {dict(words)}, should be {wanted}"]
    wrong += [] if held == wanted["201"] else [f"{held} slots held, {wanted['201']} expected"]
    wrong += [f"{v.invariant} {v.subject}: {v.detail}" for v in invariants.check(place.deps).violations]
    return Race(
        cap=cap,
        submitters=len(told),
        admitted=words["201"],
        held=held,
        gave_up=sum(count for word, count in words.items() if word.startswith("gave up")),
        p50=percentile(seconds, 0.5),
        p99=percentile(seconds, 0.99),
        violations=tuple(wrong),
    )
