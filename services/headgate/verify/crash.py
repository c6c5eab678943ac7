"""The crash machine: kill a real process at every point it has, start again, and see that nothing is lost.

Points are SQL statements, the touches of store and broker by the step they belong to (`finish: after commit`), the
n-th write or sync of the disk (with strace, when present), and a second kill in the recovery. After each kill a fresh
process takes over, waits the lease and one sweep, brings everything to its end and recounts. The report says of how
many points there are how many were killed at.
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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import IO, Any

from headgate.core.errors import InvalidRequest
from headgate.verify.crash_plan import Kill, Points, Schedule, draw
from headgate.verify.crash_scene import MUTANTS

LANES = {"sqlite": 12, "firestore": 2}
"""Processes that kill side by side: most of a recovery is waiting for a lease; an emulator is slow for many."""
DETAILS = 20
MOST_SECONDS = 270.0
"""How long kills are begun when their number was not asked for: the report says how far that went."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashReport:
    """What the kills came to. `missed`: kills whose point was not reached, which a `replayed` schedule may
    not have; `left_out`: kills for which there was no time; `details`: the first findings, in words."""

    store: str
    seed: int
    mutant: str | None
    kills: int
    missed: int
    left_out: int
    by_point: Mapping[str, int]
    coverage: Mapping[str, Mapping[str, int]]
    lost: int
    leaked: int
    double: int
    integrity: int
    violations: int
    errors: int
    seconds: float
    replayed: bool = False
    details: Sequence[str] = field(default=())

    @property
    def ok(self) -> bool:
        """Every promise was kept, and something was killed; of a replayed schedule everything that it names."""
        wrong = self.lost + self.leaked + self.double + self.integrity + self.violations + self.errors
        return wrong == 0 and self.kills > 0 and not (self.replayed and self.missed)

    def as_json(self) -> dict[str, object]:
        """The figures as one JSON object."""
        names = {"by_point": "byPoint", "left_out": "leftOut"}
        return {names.get(name, name): value for name, value in asdict(self).items()} | {"ok": self.ok}


def run_crash(
    *,
    store: str,
    seed: int,
    n: int | None = None,
    schedule: Path | None = None,
    progress: Progress = lambda done, total: None,
    mutant: str | None = None,
) -> CrashReport:
    """Make about `n` kills; None: one at each point, as far as `MOST_SECONDS` go. A `schedule` file that exists is replayed
    (its store and seed count); else it is written.

    `store` is sqlite or firestore (an emulator: FIRESTORE_EMULATOR_HOST). `mutant` breaks the store on purpose
    (`no-transaction`): the report must not be ok. Raises InvalidRequest.
    """
    _check(store, n, mutant)
    began = time.monotonic()
    plan = Schedule.load(schedule) if schedule is not None and schedule.exists() else None
    replayed = plan is not None
    if plan is not None:
        store, seed, n = plan.store, plan.seed, len(plan.kills)
        _check(store, n, mutant)
    with _lanes(LANES[store] if n is None else min(LANES[store], n // 4 + 1)) as lanes:
        counted = _count(lanes, store, seed, mutant, syscalls=plan is None)
        if counted["errors"]:
            return _unlivable(store, seed, mutant, str(counted["errors"][0]), time.monotonic() - began)
        points = Points.of(counted)
        plan = plan or draw(points, store, seed, n, mutant)
        if schedule is not None:
            plan.save(schedule)
        ends = began + MOST_SECONDS if n is None else None
        answers = list(_carry_out(lanes, plan, mutant, progress, ends))
    report = _report(plan, points, mutant, answers, time.monotonic() - began)
    return replace(report, replayed=replayed)


def _count(lanes: queue.Queue[Lane], store: str, seed: int, mutant: str | None, syscalls: bool) -> Mapping[str, Any]:
    """What the scene of the seed passes without a kill."""
    lane = lanes.get()
    counted = lane.ask({"store": store, "seed": seed, "mutant": mutant, "count": syscalls})
    lanes.put(lane)
    return counted


def _unlivable(store: str, seed: int, mutant: str | None, error: str, seconds: float) -> CrashReport:
    """The scene went wrong before anything was killed: a broken promise as well."""
    return CrashReport(
        store=store, seed=seed, mutant=mutant, kills=0, missed=0, left_out=0, by_point={}, coverage={}, lost=0, leaked=0,
        double=0, integrity=0, violations=0, errors=1, seconds=round(seconds, 1),
        details=(f"the scene fails without any kill: {error}",),
    )  # fmt: skip


def _check(store: str, n: int | None, mutant: str | None) -> None:
    if store not in ("sqlite", "firestore"):
        raise InvalidRequest(f"The store is {store!r}; sqlite and firestore are known.", field="store")
    if store == "firestore" and "FIRESTORE_EMULATOR_HOST" not in os.environ:
        raise InvalidRequest("Set FIRESTORE_EMULATOR_HOST: kills are made only on an emulator.", field="store")
    if mutant is not None and (mutant not in MUTANTS or store != "sqlite"):
        raise InvalidRequest(f"The mutant is {mutant!r}; on sqlite {', '.join(MUTANTS)} is known.", field="mutant")
    if n is not None and n < 1:
        raise InvalidRequest("At least one kill.", field="n")


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


def _carry_out(
    lanes: queue.Queue[Lane], plan: Schedule, mutant: str | None, progress: Progress, ends: float | None
) -> Iterator[Answer]:
    """The answers to all kills; with an end, to those begun before it, which then are spread over all of them."""

    def one(kill: Kill) -> Answer | None:
        lane = lanes.get()
        try:
            if ends is not None and time.monotonic() >= ends:
                return None
            return kill, lane.ask({"store": plan.store, "seed": plan.seed, "mutant": mutant, "kill": asdict(kill)})
        finally:
            lanes.put(lane)

    kills = plan.kills if ends is None else Random(plan.seed).sample(plan.kills, len(plan.kills))
    threads = ThreadPoolExecutor(max_workers=lanes.qsize())
    try:
        futures = [threads.submit(one, kill) for kill in kills]
        for done, future in enumerate(as_completed(futures), 1):
            progress(done, len(futures))
            if (answer := future.result()) is not None:
                yield answer
    finally:
        threads.shutdown(cancel_futures=True)  # whoever stops reading waits for the kills under way, no more


def _report(
    plan: Schedule, points: Points, mutant: str | None, answers: Sequence[Answer], seconds: float
) -> CrashReport:
    found: Counter[str] = Counter()
    for _, answer in answers:
        found.update(answer["counted"])
    by_point: Counter[str] = Counter()
    for kill, answer in answers:
        by_point[kill.point] += answer["deaths"]
    made = [kill for kill, answer in answers if answer["deaths"] == 1 + bool(kill.again)]
    return CrashReport(
        store=plan.store,
        seed=plan.seed,
        mutant=mutant,
        kills=sum(by_point.values()),
        missed=len(answers) - len(made),
        left_out=len(plan.kills) - len(answers),
        by_point=dict(by_point),
        coverage=points.coverage(made),
        lost=found["lost"],
        leaked=found["leaked"],
        double=found["double"],
        integrity=found["integrity"],
        violations=found["violation"],
        errors=sum(len(answer["errors"]) for _, answer in answers),
        seconds=round(seconds, 1),
        details=tuple(_details(answers))[:DETAILS],
    )


def _details(answers: Sequence[Answer]) -> Iterator[str]:
    for kill, answer in answers:
        if answer["deaths"] < 1 + bool(kill.again):
            missed = f", or {kill.again_at} {kill.again} of its recovery" * bool(kill.again)
            yield f"missed: {kill.at} {kill.n}{missed} was never reached"
        where = f"killed at {kill.at} {kill.n}, recovery {kill.recovery}{f', again at {kill.again}' * bool(kill.again)}"
        for finding in answer["findings"]:
            yield f"{where}: {finding['what']} {finding['subject']}: {finding['detail']}"
        for error in answer["errors"]:
            yield f"{where}: {error}"
