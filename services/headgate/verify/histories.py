"""Many histories of the simulator, over several processes, in the order of their seeds: the same figures every time."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from headgate.verify.faults import Faults
from headgate.verify.goals import ENOUGH, missed
from headgate.verify.ground import Ground
from headgate.verify.simulation import History, simulate

PROCESSES = 2


class WrongSchedule(Exception):
    """A schedule file that cannot be followed: what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Which histories: their seeds, and the faults of all of them where they are not to come from the seed."""

    seeds: Sequence[int]
    faults: Faults | None = None


def read_schedule(path: Path) -> Schedule:
    """A schedule file: `{"seeds": [17, 40], "faults": {"crash": 0.05}}`; `faults` (0-1 each, the others 0) may be absent.

    Raises WrongSchedule.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WrongSchedule(f"{path}: {error}") from error
    if not isinstance(data, dict) or not {"seeds"} <= data.keys() <= {"seeds", "faults"}:
        raise WrongSchedule(f'{path}: must be {{"seeds": [1, 2, …], "faults": {{…}}}}; faults may be absent')
    seeds, faults = data["seeds"], data.get("faults")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise WrongSchedule(f"{path}: seeds must be a list of whole numbers")
    return Schedule(seeds=seeds, faults=None if faults is None else _faults(path, faults))


def _faults(path: Path, data: object) -> Faults:
    known = [f.name for f in fields(Faults)]
    if not isinstance(data, dict) or not data.keys() <= set(known):
        raise WrongSchedule(f"{path}: faults may have {', '.join(known)}")
    if not all(isinstance(chance, int | float) and 0 <= chance <= 1 for chance in data.values()):
        raise WrongSchedule(f"{path}: each fault is a chance from 0 to 1")
    return Faults(**data)


def histories(schedule: Schedule, ground: Ground, processes: int = PROCESSES) -> Iterator[History]:
    """The histories, one after the other as they are ready."""
    one = partial(_one, ground, schedule.faults)
    workers = min(processes, len(schedule.seeds))
    if workers <= 1:
        yield from map(one, schedule.seeds)
        return
    # spawn: a forked child would inherit threads' locks and gRPC's channels.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_leave_interrupts_to_the_parent)
    try:
        yield from pool.map(one, schedule.seeds, chunksize=4 if len(schedule.seeds) > 40 else 1)
    finally:
        pool.shutdown(cancel_futures=True)  # whoever stops reading waits for the histories under way, no more


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _one(ground: Ground, faults: Faults | None, seed: int) -> History:
    try:
        history = simulate(seed, ground.virtual, faults)
    except Exception as error:  # noqa: BLE001 - whatever the flows complain of breaks this history, not the others
        return History(seed=seed, digest="", steps=0, reached={}, broken=f"raised {error!r}")
    return replace(history, reached=dict(history.reached))


@dataclass
class Tally:
    """What the histories come to."""

    seeds: int = 0
    steps: int = 0
    reached: Counter[str] = field(default_factory=Counter)
    broken: dict[int, str] = field(default_factory=dict)
    digest: str = ""

    def add(self, history: History) -> None:
        """One more."""
        self.seeds += 1
        self.steps += history.steps
        self.reached.update(history.reached)
        if history.broken is not None:
            self.broken[history.seed] = history.broken
        self.digest = sha256(f"{self.digest}{history.seed}{history.digest}".encode()).hexdigest()[:16]

    @property
    def missed(self) -> tuple[str, ...]:
        """Goals that were never reached, once there are enough histories to ask."""
        return missed(self.reached) if self.seeds >= ENOUGH else ()

    @property
    def ok(self) -> bool:
        """Nothing broken, nothing missed."""
        return not self.broken and not self.missed

    def as_json(self, seconds: float) -> Mapping[str, object]:
        """For scripts. The digest is that of all histories: the same seeds on the same headgate make the same one."""
        return {
            "seeds": self.seeds,
            "steps": self.steps,
            "secondsPerSeed": round(seconds / max(1, self.seeds), 4),
            "violations": [{"seed": seed, "detail": detail} for seed, detail in self.broken.items()],
            "reached": dict(sorted(self.reached.items())),
            "missed": list(self.missed),
            "digest": self.digest,
            "ok": self.ok,
        }
