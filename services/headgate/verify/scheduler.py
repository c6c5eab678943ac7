"""A deterministic scheduler: tasks are greenlets in one thread, time is virtual, chance comes from one seed.

A task runs until it touches the outside (`pause`, `sleep`, `Signal.wait`); then the scheduler picks who goes on. The
same seed makes the same history, step by step.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from greenlet import GreenletExit, getcurrent, greenlet


class Place(Protocol):
    """Where a task runs; a place that dies takes its tasks with it."""

    name: str


@dataclass(eq=False)
class Task:
    """One thread of control."""

    name: str
    place: Place
    body: greenlet
    number: int


class Signal:
    """`threading.Event` for tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[Task] = []

    def set(self) -> None:
        """Wake who waits."""
        self._set = True
        for task in self._waiting:
            self._scheduler.ready(task)
        self._waiting.clear()

    def wait(self) -> None:
        """Wait until it is set."""
        while not self._set:
            self._waiting.append(self._scheduler.current())
            self._scheduler.block()


@dataclass(eq=False)
class Scheduler:
    """The hub. `now` is virtual ms; `switch` how likely another task goes on at a pause."""

    rng: Random
    now: int
    switch: float = 0.5
    steps: int = 0
    _ready: list[Task] = field(default_factory=list)
    _timers: list[tuple[int, int, Task]] = field(default_factory=list)
    _tasks: dict[greenlet, Task] = field(default_factory=dict)
    _frozen: dict[Place, int] = field(default_factory=dict)
    _hub: greenlet = field(default_factory=getcurrent)
    _count: int = 0

    def spawn(self, name: str, place: Place, work: Callable[[], object]) -> Task:
        """A new task; it starts when it is picked."""

        def run() -> None:
            try:
                work()
            finally:
                self._tasks.pop(task.body, None)

        self._count += 1
        task = Task(name, place, greenlet(run, self._hub), self._count)
        self._tasks[task.body] = task
        self.ready(task)
        return task

    def current(self) -> Task:
        """The task that runs now."""
        return self._tasks[getcurrent()]

    def ready(self, task: Task) -> None:
        """The task may go on; one of a place that stands still, not before that goes on."""
        if self.frozen(task.place):
            self._at(self._frozen[task.place], task)
        elif not task.body.dead and task not in self._ready:
            self._ready.append(task)

    def block(self) -> None:
        """Give the turn away until somebody says ready."""
        self._hub.switch()

    def pause(self) -> None:
        """A point at which another task may go on, or the place may die."""
        if self.in_hub():
            return
        self.steps += 1
        if self.rng.random() < self.switch:
            self.ready(self.current())
            self.block()

    def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        if self.in_hub():
            self.now += round(seconds * 1000)
            return
        self._at(self.now + round(seconds * 1000), self.current())
        self.block()

    def _at(self, moment: int, task: Task) -> None:
        self._count += 1
        heapq.heappush(self._timers, (moment, self._count, task))

    def freeze(self, place: Place, seconds: float) -> bool:
        """The place stands still while others go on, then continues where it stood: what it was about to do comes late.

        Whether it was about to do anything.
        """
        self._frozen[place] = self.now + round(seconds * 1000)
        ready, self._ready = self._ready, []
        for task in ready:
            self.ready(task)
        return len(self._ready) < len(ready)

    def kill(self, place: Place) -> int:
        """Every task of the place ends where it stands. How many there were."""
        doomed = [task for task in self._tasks.values() if task.place is place and task.body is not getcurrent()]
        for task in doomed:
            self._ready = [other for other in self._ready if other is not task]
            self._timers = [entry for entry in self._timers if entry[2] is not task]
            if task.body:
                task.body.throw(GreenletExit)
            self._tasks.pop(task.body, None)
        heapq.heapify(self._timers)
        return len(doomed)

    def step(self) -> bool:
        """Let one task go on; when none is ready, time jumps to the next timer. False when nothing is left to do."""
        if not self._ready:
            if not self._timers:
                return False
            self.now = max(self.now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self.now:
            self.ready(heapq.heappop(self._timers)[2])
        if self._ready:  # who woke up in a place that stands still does not go on
            self._ready.pop(self._pick(self._ready)).body.switch()
        return True

    def _pick(self, ready: list[Task]) -> int:
        """Which of those that may go on does."""
        return self.rng.randrange(len(ready))

    def frozen(self, place: Place) -> bool:
        """Whether the place stands still."""
        return self._frozen.get(place, 0) > self.now

    def lull(self) -> int:
        """For how long (ms) nothing will happen now."""
        return 0 if self._ready or not self._timers else self._timers[0][0] - self.now

    def hanging(self) -> list[str]:
        """Tasks that have not ended and that nothing will wake, once no step is left."""
        return [f"{task.name} of {task.place.name}" for task in self._tasks.values() if not task.body.dead]

    def in_hub(self) -> bool:
        """Whether no task runs now."""
        return getcurrent() is self._hub
