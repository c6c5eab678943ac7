"""A simulated process: the parts of a real one, with virtual time and nothing of its own that survives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headgate.core.policy import Policy
from headgate.core.run import Artifact
from headgate.delivery.port import Delivery
from headgate.flow import sweep
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.submit import Submitter
from headgate.handlers.interface import Done, Failed, Job
from headgate.store.committer import Budget
from headgate.store.port import Backend
from headgate.store.reader import Store
from headgate.verify.scheduler import Scheduler, Signal

KINDS = ("command", "git")


@dataclass(eq=False)
class Place:
    """One simulated process."""

    name: str
    deps: Deps
    dispatcher: Dispatcher
    submitter: Submitter
    stopping: bool = False
    """Told to stop: its workers hand back what they hold."""


class Timing:
    """Virtual time with the place's own skew: nothing that is stored may depend on it."""

    def __init__(self, scheduler: Scheduler, skew_ms: int) -> None:
        self._scheduler, self._skew = scheduler, skew_ms

    def monotonic(self) -> float:
        """See flow.deps.Timing."""
        return (self._scheduler.now + self._skew) / 1000

    def wall_ms(self) -> int:
        """See flow.deps.Timing."""
        return self._scheduler.now + self._skew

    def sleep(self, seconds: float) -> None:
        """See flow.deps.Timing."""
        self._scheduler.sleep(seconds)

    def random(self) -> float:
        """See flow.deps.Timing."""
        return self._scheduler.rng.random()


class Ids:
    """run_1, run_2 …: the same in every run of the same seed."""

    def __init__(self) -> None:
        self._last: Counter[str] = Counter()

    def new(self, prefix: str) -> str:
        """The next id of the prefix."""
        self._last[prefix] += 1
        return f"{prefix}_{self._last[prefix]}"

    def commit(self) -> str:
        """The next commit's id."""
        return self.new("c")

    def secret(self) -> str:
        """No secret at all."""
        return self.new("s")


class Silence:
    """Telemetry that says nothing."""

    def info(self, action: str, **facts: object) -> None:
        """See Telemetry."""

    def warning(self, action: str, **facts: object) -> None:
        """See Telemetry."""

    def error(self, action: str, error: BaseException | None = None, **facts: object) -> None:
        """See Telemetry: what should not happen ends the history."""
        raise AssertionError(f"{action}: {facts}") from error


class Counting(Silence):
    """Telemetry whose warnings are counted."""

    def __init__(self, reached: Counter[str]) -> None:
        self._reached = reached

    def warning(self, action: str, **facts: object) -> None:
        """See Telemetry."""
        self._reached[f"logged {action}"] += 1


class Anything:
    """A kind whose runs the simulation brings to their end."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def check(self, input: Mapping[str, object]) -> None:
        """Everything is good."""

    def run(self, job: Job) -> Done | Failed:
        """Nothing to do."""
        return Done({})


class Bell:
    """The alarm of a simulated process; it dies with it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.place: Place | None = None

    def arm(self, seconds: float) -> None:
        """See Alarm."""
        if self.place is not None:
            self._scheduler.spawn("alarm", self.place, lambda: self._ring(seconds))

    def _ring(self, seconds: float) -> None:
        assert self.place is not None
        self._scheduler.sleep(max(0.0, seconds))
        sweep.start_due(self.place.deps, self.place.dispatcher)


class NoArtifacts:
    """Simulated runs save nothing."""

    def save(self, run_id: str, attempt: str, name: str, source: Path, media_type: str) -> Artifact:
        """See ArtifactStore."""
        raise FileNotFoundError("simulated runs save nothing")

    def fetch(self, artifact: Artifact, into: Path) -> Path:
        """See ArtifactStore."""
        raise FileNotFoundError("simulated runs save nothing")

    def delete(self, run_id: str) -> None:
        """See ArtifactStore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all simulated processes share."""

    scheduler: Scheduler
    ids: Ids
    policy: Policy
    reached: Counter[str]


def make_place(name: str, backend: Backend, broker: Delivery, around: Surroundings, skew_ms: int = 0) -> Place:
    """A process that has just started."""
    timing, bell = Timing(around.scheduler, skew_ms), Bell(around.scheduler)
    deps = Deps(
        store=Store(backend, timing, around.ids.commit, Budget(), lambda: Signal(around.scheduler)),
        policy=around.policy,
        delivery=broker,
        handlers={kind: Anything(kind) for kind in KINDS},
        artifacts=NoArtifacts(),
        ids=around.ids,
        timing=timing,
        telemetry=Counting(around.reached),
        alarm=bell,
    )
    dispatcher = Dispatcher(deps)
    bell.place = Place(name, deps, dispatcher, Submitter(deps, dispatcher))
    return bell.place
