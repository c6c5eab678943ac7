"""How long a queued run will wait: a small simulation of releases. Pure and without chance: equal facts, equal answer.

Each of a few dozen samples lets the runs in flight end after what runs of their kind took lately, gives every freed slot
to whoever is next (the line within the tenant, the fair order between tenants) under the caps in force, and notes when
the run in question starts. Half of the samples start by p50, nine in ten by p90. A long line is simulated for its first
starts and prolonged at their pace.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import median

from headgate.core.policy import PressurePolicy
from headgate.core.scopes import SYSTEM, TENANT, kind_scope

POINTS = 33
"""Quantiles that a sketch keeps: its size does not grow with the history."""
ENOUGH = 8
"""Finished runs of a kind before its history is believed."""
UNPROVED = 1.5
"""How much wider p90 is made while nobody knows yet how well it holds."""
MOST_STRETCH = 5.0
SAMPLES = 32
MOST_STARTS = 32
"""Starts that a sample simulates one by one."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """How long runs of a kind hold their slots, in seconds: evenly spaced quantiles, and where they come from
    (`history`, or `default` when there is too little of it). `stretch` widens p90 by what it was too short of late."""

    quantiles: tuple[float, ...]
    basis: str = "history"
    stretch: float = 1.0

    def at(self, share: float) -> float:
        """The duration that this share (0-1) of the runs stays below."""
        place = share * (len(self.quantiles) - 1)
        below = min(int(place), len(self.quantiles) - 2)
        low, high = self.quantiles[below], self.quantiles[below + 1]
        return low + (high - low) * (place - below)

    def rest(self, age: float, share: float) -> float:
        """What is left of a run that has taken `age`: the same share of those runs that took longer. One that has
        outlasted them all is given up to as long again."""
        over = bisect_left(self.quantiles, age)
        if over == len(self.quantiles):
            return share * age
        low = self.quantiles[over - 1] if over else 0.0
        gap = self.quantiles[over] - low
        below = 0.0 if not over else (over - 1 + ((age - low) / gap if gap else 0.0)) / (len(self.quantiles) - 1)
        return max(0.0, self.at(below + share * (1.0 - below)) - age)

    def met(self) -> Sketch:
        """Of the runs that somebody finds in flight: a run is met as much more often as it is longer."""
        sums = list(accumulate(self.quantiles))
        last = len(self.quantiles) - 1
        found = (bisect_left(sums, sums[-1] * (i + 0.5) / (last + 1)) for i in range(last + 1))
        return replace(self, quantiles=tuple(self.quantiles[min(place, last)] for place in found))


def sketch(durations: Iterable[float], expected: float, misses: Sequence[float] = ()) -> Sketch:
    """The sketch of what runs took, or around `expected` seconds when they are too few; for `misses` see `stretch`."""
    known = sorted(durations)
    if len(known) < ENOUGH:
        return Sketch(
            tuple(expected * (0.25 + 1.5 * i / (POINTS - 1)) for i in range(POINTS)), "default", stretch(misses)
        )
    step = (len(known) - 1) / (POINTS - 1)
    return Sketch(tuple(known[round(i * step)] for i in range(POINTS)), stretch=stretch(misses))


def stretch(misses: Sequence[float]) -> float:
    """By how much p90 must be widened so that nine of ten hold: `misses` are the waits of late over the p90 that the
    simulation alone gave. What it cannot see (who comes later and goes first, retries, pauses) is in there. A
    little more than nine: a burst is told its waits before anything is learned from it. Never narrower, nor beyond
    MOST_STRETCH."""
    known = sorted(misses)
    if len(known) < ENOUGH:
        return UNPROVED
    return min(MOST_STRETCH, max(1.0, known[min(len(known) - 1, len(known) * 93 // 100)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A run in flight: the scopes it holds besides system and kind, and for how many seconds; None = nobody knows."""

    kind: str
    scopes: tuple[str, ...] = ()
    age: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """So many runs that need the same scopes. The last one given to `forecast` is the run in question."""

    kind: str
    scopes: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A tenant's place in the fair order: `turn` and `weight`, how many of which kind wait, and its free slots."""

    turn: float
    weight: float = 1.0
    kind: str = ""
    waiting: int = 0
    room: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The slots really there: the caps in force by scope (`tenant`, local names, `kind:…`, `system`), whose turn it is
    in the own tenant, and the tenants that offer beside it. A scope without an entry has no limit."""

    caps: Mapping[str, int]
    own: Share = Share(turn=0.0)
    rivals: Sequence[Share] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds until the start: as likely as not, and nearly surely. `basis` is that of the durations behind it, `stretch`
    how much of p90 is experience with earlier estimates."""

    p50: float
    p90: float
    basis: str = "history"
    stretch: float = 1.0


Durations = Callable[[str], Sketch]
"""A kind's sketch."""


def forecast(
    run: Lane, ahead: Sequence[Lane], holders: Sequence[Holder], durations: Durations, slots: Slots
) -> Estimate | None:
    """When `run`, behind `ahead`, starts; None if nothing that happens by itself lets it start."""
    scene = _Scene(run, ahead, holders, durations, slots)
    waits = [_Sample(scene, number).wait() for number in range(SAMPLES)]
    known = [found for found in waits if found is not None]
    if len(known) < SAMPLES:
        return None
    seconds = sorted(_prolonged(known))
    kinds = {run.kind, *(lane.kind for lane in ahead if lane.count), *(holder.kind for holder in holders)}
    basis = "history" if all(durations(kind).basis == "history" for kind in sorted(kinds)) else "default"
    wider = durations(run.kind).stretch
    return Estimate(
        p50=_rounded(median(seconds)), p90=_rounded(seconds[_NINTH] * wider), basis=basis, stretch=round(wider, 3)
    )


_NINTH = -(-SAMPLES * 9 // 10)
"""One place above nine tenths of the samples: they are few, and p90 must hold for nine runs in ten."""


def expected_releases(holders: Iterable[Holder], durations: Durations) -> tuple[float, ...]:
    """In how many seconds each of the holders is expected to give its slot back, the first one first."""
    return tuple(sorted(durations(holder.kind).rest(holder.age or 0.0, 0.5) for holder in holders))


def paced_wait(starts: int, slow: bool, ramp_since: int | None, now: int, policy: PressurePolicy) -> float:
    """Seconds until the `starts`-th start from `now` (ms) under a pace (see `core.pace`), however many slots are free."""
    if slow:
        return starts / policy.slow_per_second  # a ramp is nowhere slower
    if ramp_since is None:
        return 0.0
    age, left, waited = max(0, now - ramp_since) / 1000, float(starts), 0.0
    while age + waited < policy.ramp_seconds:
        doublings = int((age + waited) / policy.ramp_double_seconds + 1e-9)
        per_second = policy.slow_per_second * 2.0 ** min(doublings, 60)
        rest = (doublings + 1) * policy.ramp_double_seconds - age - waited
        if left <= per_second * rest:
            return min(waited + left / per_second, policy.ramp_seconds - age)
        left -= per_second * rest
        waited += rest
    return max(0.0, policy.ramp_seconds - age)


def not_before(found: Estimate, seconds: float) -> Estimate:
    """The estimate of a start that a pace does not allow any sooner than in `seconds`."""
    p50, p90 = max(found.p50, _rounded(seconds)), max(found.p90, _rounded(seconds * found.stretch))
    return replace(found, p50=p50, p90=p90)


def _prolonged(found: Sequence[tuple[float, float]]) -> list[float]:
    """Seconds by sample, of those that stopped early `share` times as much; sums of many vary less than one by one."""
    whole = [seconds * share for seconds, share in found]
    middle = sum(whole) / len(whole)
    return [middle + (each - middle) / share**0.5 for each, (_, share) in zip(whole, found, strict=True)]


def _rounded(seconds: float) -> float:
    return round(seconds, 1) if seconds < 10 else float(round(seconds))


def _mixed(number: int) -> float:
    """A number's own value in [0, 1): splitmix64."""
    number = (number + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    number = (number ^ number >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return ((number ^ number >> 31) >> 11) / 2**53


_CHANCES = tuple(_mixed(number) for number in range(8192))


Places = tuple[int, ...]
"""The limited scopes that a run needs, as numbers."""


class _Scene:
    """What all samples share: limited scopes as numbers, what every run needs of them, sketches at hand."""

    def __init__(
        self, run: Lane, ahead: Sequence[Lane], holders: Sequence[Holder], durations: Durations, slots: Slots
    ) -> None:
        self.number = {scope: i for i, scope in enumerate(slots.caps)}
        self.caps = list(slots.caps.values())
        self.lanes = [self._own(lane) for lane in ahead]
        self.counts = [lane.count for lane in ahead]
        self.run = self._own(run)
        self.rivals = slots.rivals
        self.others = [self.places(kind_scope(rival.kind), SYSTEM) for rival in slots.rivals]
        met = {one.kind: durations(one.kind).met() for one in holders if one.age is None}
        self.held = [
            (
                met[one.kind] if one.age is None else durations(one.kind),
                one.age,
                self.places(*one.scopes, kind_scope(one.kind), SYSTEM),
            )
            for one in holders
        ]
        self.sketches = [durations(lane.kind) for lane in ahead]
        self.rival_sketches = [durations(rival.kind) for rival in slots.rivals]
        self.shares = (slots.own, *slots.rivals)
        self.total = sum(self.counts)

    def _own(self, lane: Lane) -> Places:
        return self.places(TENANT, *lane.scopes, kind_scope(lane.kind), SYSTEM)

    def places(self, *scopes: str) -> Places:
        """Those of them that have a limit, as numbers."""
        return tuple(self.number[scope] for scope in scopes if scope in self.number)


class _Sample:
    """One course that things may take."""

    def __init__(self, scene: _Scene, number: int) -> None:
        self._scene = scene
        self._draw = number * 181
        self._now = 0.0
        self._free = list(scene.caps)
        self._ends: list[tuple[float, int, Places]] = []
        self._started = [0] * len(scene.lanes)
        self._turns = [share.turn for share in scene.shares]
        self._left = [share.waiting for share in scene.shares]
        self._room = [share.room for share in scene.shares]
        for known, age, places in scene.held:
            self._hold(self._rest(known, age), 0, places)

    def wait(self) -> tuple[float, float] | None:
        """Seconds until the run in question starts, and how often they are to be taken; None = never."""
        starts = 0
        while True:
            while (chosen := self._next()) is not None:
                tenant, lane = chosen
                if not tenant and lane == len(self._started):
                    return self._now, 1.0
                self._start(tenant, lane)
                starts += 1
            if starts >= MOST_STARTS and self._now > 0:
                return self._now, (self._scene.total + 1) / max(1, sum(self._started))
            if not self._ends:
                return None
            self._now, tenant, places = heapq.heappop(self._ends)
            self._room[tenant] += 1
            for place in places:
                self._free[place] += 1

    def _chance(self) -> float:
        self._draw += 1
        return _CHANCES[self._draw & 8191]

    def _rest(self, known: Sketch, age: float | None) -> float:
        if age is not None:
            return known.rest(age, self._chance())
        return known.at(self._chance()) * self._chance()  # met at any moment of its life

    def _hold(self, seconds: float, tenant: int, places: Places) -> None:
        for place in places:
            self._free[place] -= 1
        heapq.heappush(self._ends, (self._now + seconds, tenant, places))

    def _fits(self, places: Places) -> bool:
        free = self._free
        for place in places:  # noqa: SIM110 - the innermost loop: a generator takes three times as long
            if free[place] <= 0:
                return False
        return True

    def _next(self) -> tuple[int, int] | None:
        """Who starts now: tenant (0 = the own one) and its lane; None = nobody."""
        scene, best = self._scene, None
        own = self._own_lane()
        least = 0.0 if own is None else self._turns[0]
        if own is not None:
            best = (0, own)
        for number, places in enumerate(scene.others, 1):
            first = best is None or self._turns[number] < least
            if first and self._left[number] > 0 and self._room[number] > 0 and self._fits(places):
                best, least = (number, 0), self._turns[number]
        return best

    def _own_lane(self) -> int | None:
        """The lane whose head is next in the own tenant (lanes go side by side through the line); then the run itself."""
        best, least = None, 2.0
        for number, count in enumerate(self._scene.counts):
            done = self._started[number]
            if done < count and done / count < least and self._fits(self._scene.lanes[number]):
                best, least = number, done / count
        if best is None and self._fits(self._scene.run):
            return len(self._started)
        return best

    def _start(self, tenant: int, lane: int) -> None:
        scene = self._scene
        known = scene.rival_sketches[tenant - 1] if tenant else scene.sketches[lane]
        seconds = known.at(self._chance())
        self._turns[tenant] += seconds / scene.shares[tenant].weight
        self._left[tenant] -= 1
        self._room[tenant] -= 1
        if not tenant:
            self._started[lane] += 1
        self._hold(seconds, tenant, scene.others[tenant - 1] if tenant else scene.lanes[lane])
