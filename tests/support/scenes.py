"""What the scenarios of the hazards have in common: other processes on the same store, deaths, and the way to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headgate.core.run import TERMINAL, Run
from headgate.delivery.port import DeliveryDown, Message
from headgate.flow import invariants, sweep, work
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.handlers.interface import Done
from headgate.store.committer import Budget
from headgate.store.port import Backend, Write
from headgate.store.reader import Store
from headgate.store.sqlite import SqliteBackend
from tests.support.world import Clock, CountingIds, HeldDelivery, VirtualTiming, World
from tests.support.wrapped import Hooked

SWEEP_SECONDS = 60


class Killed(BaseException):
    """The process dies here: no `except Exception` survives it."""


class SkewedTiming(VirtualTiming):
    """A process whose own clock is so many seconds off."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__(clock)
        self._off = seconds

    def monotonic(self) -> float:
        return super().monotonic() + self._off

    def wall_ms(self) -> int:
        return super().wall_ms() + round(self._off * 1000)


@dataclass
class Process:
    """Another process of the same world: its own store, committer, dispatcher and clock; the broker is shared."""

    deps: Deps
    dispatcher: Dispatcher

    def sweep(self) -> sweep.Swept:
        return sweep.sweep(self.deps, self.dispatcher)


def another_process(world: World, skew: float = 0.0, **deps: Any) -> Process:
    timing = SkewedTiming(world.clock, skew)
    ids = CountingIds()
    store = Store(world.deps.store._backend, timing, lambda: f"other{id(ids)}-{ids.commit()}", Budget())
    made = replace(world.deps, store=store, timing=timing, **deps)
    return Process(made, Dispatcher(made))


class Mortality(Hooked):
    """A store whose caller dies just before its n-th commit, or just after it."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.dies_before: int | None = None
        self.dies_after: int | None = None

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        if self.commits == self.dies_before:
            raise Killed(f"before commit {self.commits}")
        super().commit(writes, timeout)
        if self.commits - 1 == self.dies_after:
            raise Killed(f"after commit {self.commits - 1}")

    def immortal(self) -> None:
        self.dies_before = self.dies_after = None


def mortal_world(tmp_path: Path, **world: Any) -> tuple[World, Mortality]:
    """A world whose process can be made to die at a commit."""
    made: list[Mortality] = []

    def open_it(clock: Clock) -> Backend:
        made.append(Mortality(SqliteBackend(":memory:", "off", clock)))
        return made[0]

    return World(tmp_path, backend=open_it, **world), made[0]


@dataclass
class Broker(HeldDelivery):
    """A broker that can be dead: it was `tried` so often, and what it took it kept."""

    dead: bool = False
    tried: list[Message] = field(default_factory=list)

    def publish(self, message: Message, timeout: float) -> None:
        self.tried.append(message)
        if self.dead:
            raise DeliveryDown("dead")
        super().publish(message, timeout)


def with_broker(world: World) -> Broker:
    """The world's broker from now on."""
    broker = Broker()
    object.__setattr__(world.deps, "delivery", broker)
    return broker


def round_of(world: World, seconds: float = SWEEP_SECONDS) -> None:
    """Time passes, the sweep comes."""
    world.clock.forward(seconds)
    sweep.sweep(world.deps, world.dispatcher)


def execute(world: World, message: Message) -> Run | None:
    """A worker that does what a message says: claim, finish. None: there was nothing to do."""
    claimed = work.claim(world.deps, message.run_id, message.fence, "worker-2")
    if claimed is None:
        return None
    return work.finish(world.deps, world.dispatcher, claimed, work.Ending(outcome=Done({"by": claimed.fence})))


def execute_all(world: World) -> int:
    """Every message that lies in the broker, and what follows from it; how many had something to do."""
    broker, done = world.deps.delivery, 0
    assert isinstance(broker, HeldDelivery)
    while broker.messages:
        done += execute(world, broker.messages.pop(0)) is not None
    return done


def to_the_end(world: World, runs: Sequence[Run], rounds: int = 30) -> int:
    """Sweeps and workers until all have ended: how many rounds it took. Fails if they never do."""
    for number in range(rounds):
        execute_all(world)
        if all(world.state(run) in TERMINAL for run in runs):
            return number
        round_of(world)
    raise AssertionError(f"never end: {[(run.id, world.state(run)) for run in runs]}")


def violations(world: World) -> list[str]:
    """The invariants that do not hold."""
    return [f"{v.invariant} {v.subject}: {v.detail}" for v in invariants.check(world.deps).violations]


def ends(world: World, run: Run) -> int:
    """How many outcomes were recorded."""
    return sum(event.type == "run.finished" for event in world.run(run).events)
