"""Which kills are made: all points that a scene passes, or some of them spread evenly; and the file that repeats them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from headgate.verify import schedule_file
from headgate.verify.crash_points import FRESH, WRITE
from headgate.verify.crash_recovery import RECOVERIES
from headgate.verify.schedule_file import Part

STORES = ("sqlite", "firestore")
SYSCALLS = 80
"""Kills at the n-th system call when all points are asked for: there are thousands, and each is slow under strace."""
LASTING = (" commit", " publish", " clear")
"""Named points worth a kill of their own: between reads nothing has changed, and every read is a statement too."""

Point = tuple[str, int]
"""The n-th passing of a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill: at the n-th passing of a point; how the runs come back; at which passing (0: none) of which point of the
    recovery again."""

    at: str
    n: int
    recovery: str
    again_at: str = ""
    again: int = 0

    @property
    def point(self) -> str:
        """What it is counted under."""
        return "recovery" if self.again else self.at.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Kills of the scene of a seed; written to a file it can be repeated."""

    store: str
    seed: int
    kills: tuple[Kill, ...]

    def save(self, file: Path) -> None:
        """As JSON. Raises InvalidRequest."""
        schedule_file.write(file, asdict(self))

    @classmethod
    def load(cls, file: Path) -> Schedule:
        """Raises InvalidRequest, which names the field."""
        parts = schedule_file.read(file).fields("store", "seed", "kills")
        kills = tuple(map(_kill, parts["kills"].list(least=1)))
        return cls(store=parts["store"].one_of(*STORES), seed=parts["seed"].whole(-(2**53)), kills=kills)


def _kill(part: Part) -> Kill:
    parts = part.fields("at", "n", "recovery", optional=("again_at", "again"))
    again = parts["again"].whole(0) if "again" in parts else 0
    if again and "again_at" not in parts:
        parts["again"].wrong("is of use with again_at only, the point of the recovery")
    return Kill(
        at=parts["at"].text(),
        n=parts["n"].whole(1),
        recovery=parts["recovery"].one_of(*RECOVERIES),
        again_at=parts["again_at"].text() if "again_at" in parts else "",
        again=again,
    )


@dataclass(frozen=True, slots=True)
class Points:
    """The points that a scene of a seed passes, and the recovery from a death in its middle, where most is under way."""

    statements: tuple[Point, ...]
    named: tuple[Point, ...]
    syscalls: tuple[Point, ...]
    recovery: tuple[Point, ...]
    writes: tuple[Point, ...]
    middle: Point
    """Where the process died whose recovery was counted."""
    stands_for: tuple[int, ...]
    """Of each fresh statement: how many statements there are from it to the next."""

    @classmethod
    def of(cls, counted: Mapping[str, Any]) -> Points:
        """From what a lane counted."""
        scene, recovery = counted["scene"], counted["recovery"]
        return cls(
            statements=_times({FRESH: scene.get(FRESH, 0)}),
            named=_times({name: count for name, count in sorted(scene.items()) if name.endswith(LASTING)}),
            syscalls=_times(counted["syscalls"]),
            recovery=_times({FRESH: recovery.get(FRESH, 0)})
            or _times({name: count for name, count in sorted(recovery.items()) if name.endswith(LASTING)}),
            writes=_times({WRITE: scene.get(WRITE, 0)}),
            middle=(counted["middle"]["at"], counted["middle"]["n"]),
            stands_for=tuple(counted["stands_for"]),
        )

    def coverage(self, made: Sequence[Kill]) -> dict[str, dict[str, int]]:
        """Of each set of points how many there are, and at how many somebody was killed. Of statements: all that there
        are, read or write, and those after whose fresh statement nothing new came before them."""
        at = {(kill.at, kill.n) for kill in made}
        again = {(kill.again_at, kill.again) for kill in made if kill.again}
        covered = sum(count for number, count in enumerate(self.stands_for, 1) if (FRESH, number) in at)
        return {
            "statements": {"of": sum(self.stands_for), "covered": covered},
            "named": {"of": len(self.named), "covered": len(at & {*self.named})},
            "recovery": {"of": len(self.recovery), "covered": len(again & {*self.recovery})},
        }


def _times(counts: Mapping[str, int]) -> tuple[Point, ...]:
    return tuple((name, number) for name, count in counts.items() for number in range(1, count + 1))


def draw(points: Points, store: str, seed: int, n: int | None, mutant: str | None) -> Schedule:
    """About `n` kills, spread evenly over all points of the scene; None: each of them once, and some system calls. Of a
    mutant its writes."""
    rng = Random(seed)
    if mutant is not None:
        kills = list(_killed(_spread(points.writes, n or len(points.writes), rng)))
    else:
        kills = list(_drawn(points, n, rng))
    return Schedule(store=store, seed=seed, kills=tuple(kills))


def _drawn(points: Points, n: int | None, rng: Random) -> Iterator[Kill]:
    sets = (points.statements, points.named, points.syscalls, points.recovery)
    sizes = [min(len(found), SYSCALLS) if found is points.syscalls else len(found) for found in sets]
    if n is not None:
        sizes = [max(1, round(n * size / sum(sizes))) if size else 0 for size in sizes]
    for found, size in zip(sets[:3], sizes, strict=False):
        yield from _killed(_spread(found, size, rng))
    at, n = points.middle
    for number, (again_at, again) in enumerate(_spread(points.recovery, sizes[3], rng)):
        yield Kill(at=at, n=n, recovery=_way_back(number), again_at=again_at, again=again)


def _way_back(number: int) -> str:
    return RECOVERIES[number % len(RECOVERIES)]


def _killed(points: Iterator[Point]) -> Iterator[Kill]:
    for number, (at, n) in enumerate(points):
        yield Kill(at=at, n=n, recovery=_way_back(number))


def _spread(points: Sequence[Point], wanted: int, rng: Random) -> Iterator[Point]:
    """`wanted` of the points, evenly; when there are fewer, each again and again."""
    offset = rng.random()
    for number in range(wanted):
        place = number % len(points) if wanted >= len(points) else int((number + offset) * len(points) / wanted)
        yield points[min(place, len(points) - 1)]
