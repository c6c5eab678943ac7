"""The crash machine: kill a real process at every point it has, start again, and see that nothing is lost.

Points are SQL statements, the touches of store and broker by the step they belong to (`finish: after commit`), the
n-th write or sync of the disk (with strace, when present), and a second kill in the recovery. After each kill a fresh
process takes over, waits the lease and one sweep, brings everything to its end and recounts.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import IO, Any

from headgate.core.errors import InvalidRequest
from headgate.verify.crash_points import STATEMENT, WRITE
from headgate.verify.crash_recovery import RECOVERIES
from headgate.verify.crash_scene import MUTANTS

LANES = {"sqlite": 6, "firestore": 2}
"""Processes that kill side by side: most of a recovery is waiting for a lease; an emulator is slow for many."""
SHARES = {"statement": 0.4, "write": 0.15, "named": 0.25, "syscall": 0.1, "again": 0.1}
LASTING = (" commit", " publish", " clear")
"""Named points worth a kill of their own: between reads nothing has changed, and every read is a statement too."""
DETAILS = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill: at the n-th passing of a point; how the runs come back; at which statement of the recovery again (0: not)."""

    at: str
    n: int
    recovery: str
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
        """As JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, file: Path) -> Schedule:
        """Raises InvalidRequest if the file is no schedule."""
        try:
            raw = json.loads(file.read_text("utf-8"))
            kills = tuple(Kill(**kill) for kill in raw["kills"])
            return cls(store=raw["store"], seed=raw["seed"], kills=kills)
        except (OSError, ValueError, KeyError, TypeError) as wrong:
            raise InvalidRequest(f"{file} is no schedule of kills: {wrong}", field="schedule") from wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashReport:
    """What the kills came to. `missed`: kills whose point was not reached; `details`: the first findings, in words."""

    store: str
    seed: int
    mutant: str | None
    kills: int
    missed: int
    by_point: Mapping[str, int]
    lost: int
    leaked: int
    double: int
    integrity_failures: int
    violations: int
    errors: int
    seconds: float
    details: Sequence[str] = field(default=())

    @property
    def ok(self) -> bool:
        """Every promise was kept, and something was killed."""
        wrong = self.lost + self.leaked + self.double + self.integrity_failures + self.violations + self.errors
        return wrong == 0 and self.kills > 0

    def as_json(self) -> dict[str, object]:
        """The figures as one JSON object."""
        return {**asdict(self), "ok": self.ok}

    def lines(self) -> Iterator[str]:
        """The figures for people."""
        yield f"{self.kills} kills in {self.seconds:.0f} s on {self.store}, seed {self.seed}"
        yield "  at: " + ", ".join(f"{point} {count}" for point, count in sorted(self.by_point.items()))
        yield f"  lost {self.lost}, leaked {self.leaked}, double outcomes {self.double}"
        yield f"  integrity failures {self.integrity_failures}, violations {self.violations}, errors {self.errors}"
        if self.missed:
            yield f"  {self.missed} kills did not reach their point"
        yield from (f"  ! {detail}" for detail in self.details)


def run_crash(
    *,
    store: str,
    seed: int,
    n: int,
    schedule: Path | None = None,
    progress: Progress = lambda done, total: None,
    mutant: str | None = None,
) -> CrashReport:
    """Make about `n` kills. A `schedule` file that exists is replayed (its store and seed count); else it is written.

    `store` is sqlite or firestore (an emulator: FIRESTORE_EMULATOR_HOST). `mutant` breaks the store on purpose
    (`no-transaction`): the report must not be ok. Raises InvalidRequest.
    """
    _check(store, n, mutant)
    began = time.monotonic()
    plan = Schedule.load(schedule) if schedule is not None and schedule.exists() else None
    if plan is not None:
        _check(plan.store, len(plan.kills), mutant)
    most = LANES[store if plan is None else plan.store]
    with _lanes(min(most, n if plan is None else len(plan.kills))) as lanes:
        plan = plan or draw(lanes, store, seed, n, mutant)
        if schedule is not None:
            plan.save(schedule)
        answers = list(_carry_out(lanes, plan, mutant, progress))
    return _report(plan, mutant, answers, time.monotonic() - began)


def _check(store: str, n: int, mutant: str | None) -> None:
    if store not in ("sqlite", "firestore"):
        raise InvalidRequest(f"The store is {store!r}; sqlite and firestore are known.", field="store")
    if store == "firestore" and "FIRESTORE_EMULATOR_HOST" not in os.environ:
        raise InvalidRequest("Set FIRESTORE_EMULATOR_HOST: kills are made only on an emulator.", field="store")
    if mutant is not None and (mutant not in MUTANTS or store != "sqlite"):
        raise InvalidRequest(f"The mutant is {mutant!r}; on sqlite {', '.join(MUTANTS)} is known.", field="mutant")
    if n < 1:
        raise InvalidRequest("At least one kill.", field="n")


# --- what to kill


def draw(lanes: queue.Queue[Lane], store: str, seed: int, n: int, mutant: str | None) -> Schedule:
    """About `n` kills, spread evenly over all points that the scene of the seed passes; of a mutant, its writes."""
    lane = lanes.get()
    counted = lane.ask({"store": store, "seed": seed, "mutant": mutant, "count": True})
    lanes.put(lane)
    if counted["errors"]:
        raise AssertionError(f"the scene fails without any kill: {counted['errors'][0]}")
    shares = SHARES if mutant is None else {"write": 1.0}
    return Schedule(store=store, seed=seed, kills=tuple(_drawn(counted, shares, Random(seed), n)))


def _drawn(counted: Mapping[str, Any], wanted_shares: Mapping[str, float], rng: Random, n: int) -> Iterator[Kill]:
    passed: Mapping[str, int] = counted["scene"]
    statements = [(STATEMENT, i) for i in range(1, passed.get(STATEMENT, 0) + 1)]
    named = [(name, i) for name, count in sorted(passed.items()) if name.endswith(LASTING) for i in range(1, count + 1)]
    syscalls = [(name, i) for name, most in counted["syscalls"].items() for i in range(1, most + 1)]
    writes = [(WRITE, i) for i in range(1, passed.get(WRITE, 0) + 1)]
    sets = {"statement": statements, "write": writes, "named": named, "syscall": syscalls, "again": statements or named}
    shares = {name: share for name, share in wanted_shares.items() if sets[name]}
    for name, share in shares.items():
        wanted = round(n * share / sum(shares.values()))
        for number, (at, i) in enumerate(_spread(sets[name], wanted, rng)):
            again = rng.randint(1, max(1, counted["recovery"])) if name == "again" and statements else 0
            yield Kill(at=at, n=i, recovery=RECOVERIES[number % len(RECOVERIES)], again=again)


def _spread(points: Sequence[tuple[str, int]], wanted: int, rng: Random) -> Iterator[tuple[str, int]]:
    """`wanted` of the points, evenly; when there are fewer, each again and again."""
    offset = rng.random()
    for number in range(wanted):
        place = number % len(points) if wanted >= len(points) else int((number + offset) * len(points) / wanted)
        yield points[min(place, len(points) - 1)]


# --- killing


class Lane:
    """One warmed process (crash_lane) that carries out kills one after the other."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "headgate.verify.crash_lane"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a job; its answer."""
        to, back = self._pipes()
        to.write(json.dumps(job) + "\n")
        to.flush()
        answer: dict[str, Any] = json.loads(back.readline())
        return answer

    def close(self) -> None:
        """End it; a job under way is left to its own alarm."""
        for pipe in self._pipes():
            pipe.close()
        self._process.wait()

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


@contextmanager
def _lanes(count: int) -> Iterator[queue.Queue[Lane]]:
    free: queue.Queue[Lane] = queue.Queue()
    with ExitStack() as stack:
        for _ in range(count):
            lane = Lane()
            stack.callback(lane.close)
            free.put(lane)
        yield free


Answer = tuple[Kill, dict[str, Any]]


def _carry_out(lanes: queue.Queue[Lane], plan: Schedule, mutant: str | None, progress: Progress) -> Iterator[Answer]:
    def one(kill: Kill) -> Answer:
        lane = lanes.get()
        try:
            return kill, lane.ask({"store": plan.store, "seed": plan.seed, "mutant": mutant, "kill": asdict(kill)})
        finally:
            lanes.put(lane)

    with ThreadPoolExecutor(max_workers=lanes.qsize()) as threads:
        futures = [threads.submit(one, kill) for kill in plan.kills]
        for done, future in enumerate(as_completed(futures), 1):
            progress(done, len(futures))
            yield future.result()


def _report(plan: Schedule, mutant: str | None, answers: Sequence[Answer], seconds: float) -> CrashReport:
    found: Counter[str] = Counter()
    for _, answer in answers:
        found.update(answer["counted"])
    by_point: Counter[str] = Counter()
    for kill, answer in answers:
        by_point[kill.point] += answer["deaths"]
    return CrashReport(
        store=plan.store,
        seed=plan.seed,
        mutant=mutant,
        kills=sum(by_point.values()),
        missed=sum(answer["deaths"] == 0 for _, answer in answers),
        by_point=dict(by_point),
        lost=found["lost"],
        leaked=found["leaked"],
        double=found["double"],
        integrity_failures=found["integrity"],
        violations=found["violation"],
        errors=sum(len(answer["errors"]) for _, answer in answers),
        seconds=round(seconds, 1),
        details=tuple(_details(answers))[:DETAILS],
    )


def _details(answers: Sequence[Answer]) -> Iterator[str]:
    for kill, answer in answers:
        where = f"killed at {kill.at} {kill.n}, recovery {kill.recovery}{f', again at {kill.again}' * bool(kill.again)}"
        for finding in answer["findings"]:
            yield f"{where}: {finding['what']} {finding['subject']}: {finding['detail']}"
        for error in answer["errors"]:
            yield f"{where}: {error}"
