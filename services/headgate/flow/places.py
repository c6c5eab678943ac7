"""Places in a tenant's line: how many stand ahead of a run, by priority and by what they need.

A place is counted. Where counting costs as much as the line is long (Firestore bills it), places beyond the first
`deps.counted_places` are read off a ladder: the line cut into rungs, counted at most once a minute.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from headgate.core import forecast
from headgate.core.lane import Lane
from headgate.core.line import line_key
from headgate.core.run import Run
from headgate.core.tenant import Tenant
from headgate.flow.deps import Deps
from headgate.store.documents import where

COUNTED_AT_MOST = 8
"""Lanes ahead that are told apart; what stands in others is taken together."""
LADDER_SECONDS = 60.0
RUNGS = 64
READ_BEFORE_COUNTED = 4
"""A line is read rather than counted when it has fewer runs than this many for each place that is asked for."""
TOLD_APART = 2_000
"""Places beyond this are not counted lane by lane."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is ahead of a run that is not delayed. `as_of` (ms) = when, if it was read off a ladder."""

    position: int
    ahead_by_priority: int
    ahead: tuple[forecast.Lane, ...] = ()
    as_of: int | None = None


def places(deps: Deps, tenant: Tenant, standing: Sequence[Run]) -> dict[str, Place]:
    """The places of some of one tenant's runs that stand in line, by run id. Reads what is cheaper: counts or the line."""
    if not standing:
        return {}
    if tenant.waiting < READ_BEFORE_COUNTED * len(standing):
        last = max(run.key for run in standing)  # nobody behind the last of them matters
        line = deps.store.query(Run, where(Run, *_in_line(tenant.id), ("key", "<=", last), order=("key",)))
        return {run.id: _place_in(line, run) for run in standing}
    lanes = _lanes(deps, tenant.id)
    return {run.id: _counted(deps, tenant, lanes, run) for run in standing}


def composition(deps: Deps, tenant_id: str) -> tuple[forecast.Lane, ...]:
    """How many wait in which lane, the first head first: at most COUNTED_AT_MOST lanes are told apart."""
    lanes = _lanes(deps, tenant_id)[:COUNTED_AT_MOST]
    counts = (deps.store.count(where(Run, *_in_lane(lane))) for lane in lanes)
    return tuple(
        forecast.Lane(kind=lane.kind, scopes=lane.scopes, count=n) for lane, n in zip(lanes, counts, strict=True)
    )


def _counted(deps: Deps, tenant: Tenant, lanes: Sequence[Lane], run: Run) -> Place:
    if deps.counted_places is not None and tenant.waiting > deps.counted_places:
        place = _off_the_ladder(deps, tenant, lanes, run)
        if place.position > deps.counted_places:
            return place
    ahead = (*_in_line(run.tenant), ("key", "<", run.key))
    position = deps.store.count(where(Run, *ahead)) + 1
    higher = list(range(run.priority + 1, 10))
    by_priority = deps.store.count(where(Run, *ahead, ("priority", "in", higher))) if higher and position > 1 else 0
    return Place(position, by_priority, _ahead_of(deps, lanes, run, position - 1, position > TOLD_APART))


def _ahead_of(deps: Deps, lanes: Sequence[Lane], run: Run, total: int, evenly: bool) -> tuple[forecast.Lane, ...]:
    """What the `total` runs ahead need; `evenly` = as if every lane had as many of them."""
    before = [lane for lane in lanes if lane.head is not None and lane.head < run.key]
    if len(before) == 1 or evenly:
        share, rest = divmod(total, max(1, len(before)))
        counts = [share + (number < rest) for number in range(len(before))]
    else:
        told_apart = before[:COUNTED_AT_MOST]
        counts = [deps.store.count(where(Run, *_in_lane(lane), ("key", "<", run.key))) for lane in told_apart]
    return _bundled([(lane.kind, lane.scopes, n) for lane, n in zip(before, counts, strict=False)], run, total)


def _place_in(line: Sequence[Run], run: Run) -> Place:
    ahead = [other for other in line if other.key < run.key]
    lanes = Counter((other.lane, other.kind, other.scopes) for other in ahead)  # in the order of their heads
    bundled = _bundled([(kind, scopes, n) for (_, kind, scopes), n in lanes.items()], run, len(ahead))
    return Place(len(ahead) + 1, sum(other.priority > run.priority for other in ahead), bundled)


def _bundled(lanes: Sequence[tuple[str, tuple[str, ...], int]], run: Run, total: int) -> tuple[forecast.Lane, ...]:
    """The first lanes as they are, whatever stands in others as runs of the same kind that need nothing more."""
    told_apart = [forecast.Lane(kind=kind, scopes=scopes, count=n) for kind, scopes, n in lanes[:COUNTED_AT_MOST] if n]
    rest = total - sum(lane.count for lane in told_apart)
    return (*told_apart, *([forecast.Lane(kind=run.kind, count=rest)] if rest > 0 else []))


def _lanes(deps: Deps, tenant_id: str) -> list[Lane]:
    """Lanes with runs in them, the first head first."""
    found: list[Lane] = []
    for state in ("ready", "parked"):
        found += deps.store.query(Lane, where(Lane, ("tenant", "==", tenant_id), ("state", "==", state), limit=100))
    return sorted((lane for lane in found if lane.head is not None), key=lambda lane: lane.head or 0)


def _in_line(tenant_id: str) -> tuple[tuple[str, str, object], ...]:
    return ("tenant", "==", tenant_id), ("state", "==", "queued"), ("delayed", "==", False)


def _in_lane(lane: Lane) -> tuple[tuple[str, str, object], ...]:
    return ("lane", "==", lane.id), ("state", "==", "queued"), ("delayed", "==", False)


# --- the ladder


@dataclass(frozen=True, slots=True)
class _Ladder:
    """Keys in even steps from the first run's on, and how many stand below each of them."""

    as_of: int
    keys: tuple[int, ...]
    below: tuple[int, ...]

    def rung(self, key: int) -> int:
        """The last rung at or below the key."""
        return max(0, bisect_right(self.keys, key) - 1)

    def ahead_of(self, key: int) -> int:
        """How many stood ahead of that key: counted at the rungs, in between by proportion."""
        rung = self.rung(key)
        if rung == len(self.keys) - 1:
            return self.below[-1]
        low, high = self.keys[rung], self.keys[rung + 1]
        part = max(0, key - low) / (high - low)
        return self.below[rung] + round(part * (self.below[rung + 1] - self.below[rung]))


def _off_the_ladder(deps: Deps, tenant: Tenant, lanes: Sequence[Lane], run: Run) -> Place:
    now = deps.timing.monotonic()
    ladder = deps.kept.of(("ladder", tenant.id), now, LADDER_SECONDS, lambda _: _build(deps, tenant.id))
    below = (*_in_line(tenant.id), ("key", "<", ladder.keys[ladder.rung(run.key)]))
    higher = list(range(run.priority + 1, 10))
    by_priority = deps.kept.of(
        ("ladder", tenant.id, run.priority, ladder.rung(run.key)),
        now,
        LADDER_SECONDS,
        lambda _: deps.store.count(where(Run, *below, ("priority", "in", higher))) if higher else 0,
    )
    ahead = min(ladder.ahead_of(run.key), tenant.waiting - 1)
    return Place(ahead + 1, min(by_priority, ahead), _ahead_of(deps, lanes, run, ahead, True), ladder.as_of)


def _build(deps: Deps, tenant_id: str) -> _Ladder:
    line = _in_line(tenant_id)
    first = deps.store.query(Run, where(Run, *line, order=("key",), limit=1))
    now = deps.store.now()
    end = line_key(0, now, None, 0, deps.policy.ageing_seconds) + 1
    start = min(first[0].key, end - 1) if first else end - 1
    keys = [start + (end - start) * number // RUNGS for number in range(RUNGS + 1)]
    below = [0]
    for low, high in pairwise(keys):
        below.append(
            below[-1] + deps.store.count(where(Run, *line, ("key", ">=", low), ("key", "<", high), order=("key",)))
        )
    return _Ladder(now, tuple(keys), tuple(below))
