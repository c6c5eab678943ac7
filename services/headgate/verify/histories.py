"""Many histories of the simulator, over several processes, in the order of their seeds: the same figures every time."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import TypeVar

from headgate.verify.goals import ENOUGH, missed
from headgate.verify.ground import Ground
from headgate.verify.scenarios import SCENARIOS
from headgate.verify.search import Choices, Searched, follow, search
from headgate.verify.sim_plan import Drawn, Plan
from headgate.verify.simulation import History, simulate

PROCESSES = 2
A = TypeVar("A")
B = TypeVar("B")


def carry_out(plan: Plan, ground: Ground, processes: int | None = None) -> Iterator[History | Searched]:
    """The histories, one after the other as they are ready, then the scenarios."""
    processes = processes or PROCESSES
    yield from _each(partial(_history, ground), plan.histories, processes)
    searched = tuple(SCENARIOS) if plan.searched else ()
    yield from _each(partial(_search, ground, plan.searched), searched, processes)
    yield from _each(partial(_follow, ground), plan.followed, processes)


def _each(one: Callable[[A], B], of: Sequence[A], processes: int) -> Iterator[B]:
    workers = min(processes, len(of))
    if workers <= 1:
        yield from map(one, of)
        return
    # spawn: a forked child would inherit threads' locks and gRPC's channels.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_leave_interrupts_to_the_parent)
    try:
        yield from pool.map(one, of, chunksize=4 if len(of) > 40 else 1)
    finally:
        pool.shutdown(cancel_futures=True)  # whoever stops reading waits for the histories under way, no more


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _history(ground: Ground, drawn: Drawn) -> History:
    began = time.process_time()
    try:
        history = simulate(drawn.seed, ground.virtual, drawn.faults, drawn.mix)
    except Exception as error:  # noqa: BLE001 - whatever the flows complain of breaks this history, not the others
        return History(seed=drawn.seed, digest="", steps=0, reached={}, broken=f"raised {error!r}")
    return replace(history, cpu_seconds=time.process_time() - began)


def _search(ground: Ground, most: int, scenario: str) -> Searched:
    try:
        return search(scenario, most, ground.virtual)
    except Exception as error:  # noqa: BLE001 - as above
        return Searched(scenario=scenario, schedules=0, complete=False, broken=f"raised {error!r}")


def _follow(ground: Ground, followed: tuple[str, Choices]) -> Searched:
    scenario, choices = followed
    broken, _ = follow(scenario, choices, ground.virtual)
    return Searched(scenario=scenario, schedules=1, complete=False, broken=broken, choices=choices)


@dataclass
class Tally:
    """What the histories and the scenarios come to."""

    seeds: int = 0
    steps: int = 0
    steps_min: int | None = None
    seconds: float = 0.0
    """Until the last history had ended."""
    cpu_seconds: float = 0.0
    reached: Counter[str] = field(default_factory=Counter)
    broken: dict[int, History] = field(default_factory=dict)
    searched: list[Searched] = field(default_factory=list)
    digest: str = ""

    def add(self, one: History | Searched, seconds: float = 0.0) -> None:
        """One more, so many seconds after the beginning."""
        if isinstance(one, Searched):
            self.searched.append(one)
            return
        self.seeds += 1
        self.seconds = seconds
        self.steps += one.steps
        if one.broken is None:
            self.steps_min = min(one.steps, self.steps_min or one.steps)
        else:
            self.broken[one.seed] = one
        self.cpu_seconds += one.cpu_seconds
        self.reached.update(one.reached)
        self.digest = sha256(f"{self.digest}{one.seed}{one.digest}".encode()).hexdigest()[:16]

    @property
    def missed(self) -> tuple[str, ...]:
        """Goals that were never reached, once there are enough histories to ask."""
        return missed(self.reached) if self.seeds >= ENOUGH else ()

    @property
    def ok(self) -> bool:
        """Nothing broken, nothing missed."""
        return not self.broken and not self.missed and not self.failed

    @property
    def failed(self) -> list[Searched]:
        """Scenarios in which a promise was broken."""
        return [one for one in self.searched if one.broken is not None]

    def again(self, plan: Plan) -> Plan:
        """What to repeat: what was broken, or all if nothing was; each history with its own mix and faults."""
        if not self.broken and not self.failed:
            return plan
        histories = [Drawn(seed=one.seed, mix=one.mix or None, faults=one.faults) for one in self.broken.values()]
        return Plan(histories=histories, followed=[(one.scenario, one.choices) for one in self.failed])

    def as_json(self) -> Mapping[str, object]:
        """For scripts. The digest is that of all histories: the same seeds on the same headgate make the same one."""
        return {
            "seeds": self.seeds,
            "steps": self.steps,
            "stepsMin": self.steps_min,
            "secondsPerSeed": round(self.seconds / max(1, self.seeds), 4),
            "seedsPerSecond": round(self.seeds / max(self.seconds, 1e-9), 2),
            "cpuSecondsPerSeed": round(self.cpu_seconds / max(1, self.seeds), 4),
            "violations": [{"seed": seed, "detail": one.broken} for seed, one in self.broken.items()]
            + [{"scenario": one.scenario, "detail": one.broken} for one in self.failed],
            "scenarios": {
                "searched": len(self.searched),
                "schedules": sum(one.schedules for one in self.searched),
                "complete": [one.scenario for one in self.searched if one.complete],
            },
            "reached": dict(sorted(self.reached.items())),
            "missed": list(self.missed),
            "digest": self.digest,
            "ok": self.ok,
        }
