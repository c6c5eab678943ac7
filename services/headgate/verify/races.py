"""Races: many callers of one tenant at the same moment, from two processes' worth of committers. Exactly the cap wins.

Nobody waits in line here: whoever does not win is refused. More winners than the cap is over-admission, fewer (with
everybody answered) is under-admission; neither may happen, and nobody may be told to try again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from headgate.core.errors import Code, HeadgateError
from headgate.core.policy import PLANS, OnLimit, Policy
from headgate.core.submission import Submission
from headgate.core.tenant import Tenant
from headgate.flow import invariants
from headgate.flow.deps import Asking
from headgate.flow.submit import Accepted
from headgate.verify import schedule_file
from headgate.verify.faulty import Pigeonhole
from headgate.verify.ground import Ground, fresh_name
from headgate.verify.live import live_place, owner, percentile, prepare, together
from headgate.verify.places import Place

PROCESSES = 2
APART_SECONDS = 0.005
"""Callers start within this time of each other, as the seed draws it."""
MOST_APART_SECONDS = 10.0
"""So far apart a file may put them."""
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


class Caller(NamedTuple):
    """One who submits: in which process, how long (s) after the start."""

    process: int
    after: float


Starts = Mapping[str, Sequence[Caller]]
"""Of each plan that is raced for, the callers."""


def run_races(
    ground: Ground,
    seed: int,
    submitters: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    schedule: Path | None = None,
) -> Races:
    """A race at each plan's cap: 1, 5 and 20 by default. With a `schedule` file that exists its races with its callers; if
    there is none, it is written. Raises InvalidRequest."""
    known = schedule is not None and schedule.exists()
    starts = load(schedule) if schedule is not None and known else _drawn(seed, submitters)
    if schedule is not None and not known:
        save(starts, schedule)
    races = []
    for number, (plan, callers) in enumerate(starts.items()):
        progress(number, len(starts))
        races.append(_race(ground, plan, callers))
    progress(len(starts), len(starts))
    return Races(races=tuple(races))


def _drawn(seed: int, submitters: int) -> Starts:
    plans = sorted(PLANS.values(), key=lambda plan: plan.concurrent)
    chances = {plan.name: Random(f"{seed}/{plan.name}") for plan in plans}
    return {
        name: [Caller(number % PROCESSES, rng.random() * APART_SECONDS) for number in range(submitters)]
        for name, rng in chances.items()
    }


def load(file: Path) -> Starts:
    """The races of a file: `{"races": [{"plan": "free", "callers": [{"process": 0, "after": 0.002}, …]}, …]}`.

    Raises InvalidRequest, which names the field.
    """
    starts: dict[str, Sequence[Caller]] = {}
    for race in schedule_file.read(file).fields("races")["races"].list(least=1):
        parts = race.fields("plan", "callers")
        plan = parts["plan"].one_of(*PLANS)
        if plan in starts:
            parts["plan"].wrong("is raced for twice")
        callers = [one.fields("process", "after") for one in parts["callers"].list(least=1)]
        starts[plan] = [
            Caller(one["process"].whole(0, PROCESSES - 1), one["after"].number(0, MOST_APART_SECONDS))
            for one in callers
        ]
    return starts


def save(starts: Starts, file: Path) -> None:
    """Write the races, so that they can be repeated. Raises InvalidRequest."""
    races = [{"plan": plan, "callers": [one._asdict() for one in callers]} for plan, callers in starts.items()]
    schedule_file.write(file, {"races": races})


def _race(ground: Ground, plan: str, callers: Sequence[Caller]) -> Race:
    name = fresh_name()
    places = [live_place(f"p{n}", ground.open(name), Pigeonhole(), Policy()) for n in range(PROCESSES)]
    try:
        prepare(places[0], [TENANT], plan)
        start = threading.Barrier(len(callers))
        calls = [partial(_one, places[caller.process], start, caller.after) for caller in callers]
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
