"""The search: a tiny scenario is run again and again, each time with its steps in another order.

A schedule is a list of choices: at each point where several tasks could go on, which one did. Without a choice the task
that ran goes on; taking the turn from it is a preemption. All schedules with at most one are tried, in a random order.
No message is lost, nobody sweeps: when all is done, nobody may wait for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from headgate.delivery.port import Message
from headgate.verify.faulty import Pigeonhole
from headgate.verify.ground import Ground, OpenStore
from headgate.verify.scenarios import SCENARIOS
from headgate.verify.scheduler import Scheduler, Task
from headgate.verify.watcher import Broken
from headgate.verify.world import CALM, START, World

Choices = tuple[int, ...]
PREEMPTIONS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What the schedules of one scenario came to; `complete` when there are no others."""

    scenario: str
    schedules: int
    complete: bool
    broken: str | None = None
    choices: Choices = ()
    """Of the first schedule that broke a promise."""


@dataclass(eq=False)
class Directed(Scheduler):
    """Follows choices, then lets whoever ran go on; notes what it could have chosen besides."""

    choices: Choices = ()
    taken: list[int] = field(default_factory=list)
    others: list[Choices] = field(default_factory=list)
    """Schedules that differ from this one in their last choice, with one more preemption at most."""
    preempted: int = 0
    listening: bool = False
    _last: Task | None = None

    def pause(self) -> None:
        """A point at which another task may go on."""
        self.steps += 1
        if not self.in_hub():
            self.ready(self.current())
            self.block()

    def sleep(self, seconds: float) -> None:
        """Who waits a moment to try again is not behind all others for that."""
        if seconds >= 1 or self.in_hub():
            super().sleep(seconds)
        else:
            self.now += round(seconds * 1000)
            self.pause()

    def _pick(self, ready: list[Task]) -> int:
        ready.sort(key=lambda task: task.number)
        going_on = next((i for i, task in enumerate(ready) if task is self._last), None)
        chosen = going_on or 0
        if self.listening and len(ready) > 1:
            chosen = self._choose(len(ready), chosen, going_on is not None)
        self._last = ready[chosen]
        return chosen

    def _choose(self, count: int, usual: int, runs: bool) -> int:
        place = len(self.taken)
        chosen = self.choices[place] if place < len(self.choices) else usual
        if place >= len(self.choices) and self.preempted + runs <= PREEMPTIONS:
            self.others += [(*self.taken, other) for other in range(count) if other != chosen]
        self.taken.append(chosen)
        self.preempted += runs and chosen != usual
        return chosen


class Straight(Pigeonhole):
    """A broker that keeps messages until somebody takes them, then hands each on at once."""

    deliver: Callable[[Message], None] | None = None

    def publish(self, message: Message, timeout: float) -> None:
        """See Delivery."""
        super().publish(message, timeout) if self.deliver is None else self.deliver(message)


def follow(scenario: str, choices: Choices, open_store: OpenStore) -> tuple[str | None, Directed]:
    """One schedule: the promise it broke, if any, and who directed it."""
    rng = Random(1)
    scheduler = Directed(rng, START, choices=choices)
    world = World(SCENARIOS[scenario], rng, scheduler, open_store)
    try:
        _play(world, scheduler)
    except Broken as promise:
        return str(promise), scheduler
    finally:
        world.store.close()
    return None, scheduler


def search(scenario: str, most: int, open_store: OpenStore | None = None) -> Searched:
    """So many schedules of a scenario, or all that there are, until one breaks a promise."""
    open_store = open_store or Ground().virtual
    chance, open_schedules, tried = Random(scenario), [Choices()], 0
    while open_schedules and tried < most:
        choices = open_schedules.pop(chance.randrange(len(open_schedules)))
        broken, directed = follow(scenario, choices, open_store)
        tried += 1
        if broken is not None:
            taken = tuple(directed.taken)
            return Searched(scenario=scenario, schedules=tried, complete=False, broken=broken, choices=taken)
        open_schedules += directed.others
    return Searched(scenario=scenario, schedules=tried, complete=not open_schedules)


def _play(world: World, scheduler: Directed) -> None:
    """What comes first, one after the other; then the operations, each in a process of its own; then the end.

    Workers get the messages of what came first when the operations begin.
    """
    broker = Straight()
    for op in world.mix.first:
        world.operations.begin(op, world.place("first", CALM, broker))
        world.settle()
    broker.deliver = world.work_calmly
    scheduler.listening = True
    for message in broker.taken():
        world.work_calmly(message)
    for number, op in enumerate(world.mix.ops):
        world.operations.begin(op, world.place(f"p{number}", CALM, broker))
    world.settle()
    scheduler.listening = False
    world.at_rest("at rest, without a fault and a sweep")
    world.to_the_end()
