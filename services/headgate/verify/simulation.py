"""The simulator: several processes run the real flows over the real SQLite store in memory, under a seeded scheduler.

Each touch of the store, each message and each wait is a point at which another task goes on, a process dies or stands
still, or the network lies. A seed is one history; the same seed makes the same history, shown by its hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from headgate.core.errors import StaleFence
from headgate.delivery.envelope import data_of
from headgate.delivery.port import Message
from headgate.flow import dead_letters, sweep, work
from headgate.verify.faults import Faults
from headgate.verify.faulty import FaultyBroker
from headgate.verify.ground import Ground, OpenStore
from headgate.verify.mixes import MIXES, QUICK, Op, mix_of
from headgate.verify.places import Place
from headgate.verify.scheduler import Scheduler
from headgate.verify.watcher import Broken
from headgate.verify.world import CALM, START, World, outcome_of

SWEEP_SECONDS = 5.0
OPERATIONS = 20
STEPS = 200
"""At least so many operations and steps a history has: its mix is gone through again until then."""
LULL_MS = 600
"""Longer than any operation waits to try again, and than a start waits for its turn where starts are paced."""
MOST_FREEZES = 4
SKEWS = (0, 45_000, -45_000, 3_600_000)
DISTURBANCES = ("process killed", "process stood still past its leases", "answered STORE_UNAVAILABLE",
                "answered STORE_CONTENTION", "logged dispatch.unavailable", "logged alarm.unavailable")  # fmt: skip
"""Where one of these happened, something may wait for a sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What one seed came to."""

    seed: int
    digest: str
    steps: int
    reached: Mapping[str, int]
    mix: str = ""
    faults: Faults | None = None
    broken: str | None = None
    cpu_seconds: float = 0.0


class Simulation:
    """One history."""

    def __init__(self, seed: int, open_store: OpenStore, faults: Faults | None = None, mix: str | None = None) -> None:
        self.seed, self.mix = seed, mix or mix_of(seed)
        self.rng = Random(seed)
        drawn = Faults.drawn(self.rng)
        self.faults = drawn if faults is None else faults
        self.scheduler = Scheduler(self.rng, START, self.rng.choice((1.0, 0.5, 0.2, 0.05)))
        self.world = World(MIXES[self.mix], self.rng, self.scheduler, open_store)
        self.reached = self.world.reached
        self.reached[f"mix: {self.mix}"] += 1
        self.reached["no fault at all"] += self.faults == CALM
        self.quiet = False
        self.broker = FaultyBroker(self.scheduler, self.faults, self.reached, self._deliver, self._give_up)
        self.broker.transit = self.rng.choice((0.2, 0.2, 4.0))
        self.places = [self._new_place(f"p{n}") for n in range(self.rng.randint(1, 3))]
        self.world.operations.stop, self.world.operations.freeze = self._stop, self._freeze

    def run(self) -> History:
        """The whole history: operations under faults, then calm until everything has ended."""
        broken: str | None = None
        try:
            self._storm()
            if self._undisturbed():
                self.world.at_rest("at rest, without a fault and a sweep")
                self.reached["came to rest without a sweep"] += 1
            self.world.to_the_end()
        except Broken as promise:
            broken = str(promise)
        self.world.store.close()
        digest, steps = self.world.hash.hexdigest()[:16], self.scheduler.steps
        return History(seed=self.seed, digest=digest, steps=steps, reached=+self.reached, mix=self.mix,
                       faults=self.faults, broken=broken)  # fmt: skip

    # --- the storm

    def _storm(self) -> None:
        for place in self.places:
            self._sweeping(place)
        self.scheduler.spawn("operator", self.world.calm, self._operate)
        self.world.settle(self._between)

    def _between(self) -> None:
        """Between any two turns a process may die. Where nothing fails, a lull is a moment at which all must be in order."""
        self._maybe_crash()
        if self.scheduler.lull() >= LULL_MS and self._undisturbed():
            self.world.in_order("in a lull, without a fault and a sweep")
            self.reached["a lull in which all was in order"] += 1

    def _undisturbed(self) -> bool:
        return self.faults == CALM and not any(self.reached[name] for name in DISTURBANCES)

    def _operate(self) -> None:
        """Rounds of the mix's operations, each as a task of some process."""
        number = 0
        while number < OPERATIONS or self.scheduler.steps < STEPS:
            for op in self._round():
                self.scheduler.sleep(self.rng.random() * self.rng.choice((0, 0.01, 0.5, 3.0)))
                place = self.rng.choice(self.places)
                self.world.say("operation", number, op.verb, place.name)
                self.world.operations.begin(op, place)
                number += 1
        self.scheduler.sleep(30)
        self.quiet = True

    def _round(self) -> list[Op]:
        """The mix's operations, half the time in another order; of a long mix some."""
        ops = list(self.world.mix.ops)
        if len(ops) > 2 * OPERATIONS or self.rng.random() < 0.5:
            self.rng.shuffle(ops)
        return ops[: 2 * OPERATIONS]

    # --- workers

    def _deliver(self, message: Message) -> None:
        place = self.rng.choice(self.places)
        self._as_task("worker", place, lambda: self._work(place, message))

    def _give_up(self, message: Message) -> None:
        place = self.rng.choice(self.places)
        self._as_task("dead letter", place, lambda: self._bury(place, message))

    def _as_task(self, name: str, place: Place, action: Callable[[], object]) -> None:
        self.scheduler.spawn(name, place, lambda: self.world.operations.attempt(action))

    def _bury(self, place: Place, message: Message) -> None:
        letter = dead_letters.bury(place.deps, place.dispatcher, message, data_of(message).decode())
        self.reached[f"dead letter: {letter.outcome}"] += 1

    def _work(self, place: Place, message: Message) -> None:
        """Claim, work with heartbeats (or stall past the lease), finish; hand back when told to stop."""
        run = work.claim(place.deps, message.run_id, message.fence, place.name)
        if run is None:
            self.reached["delivery with nothing to do"] += 1
            return
        try:
            for _ in range(self.rng.randint(0, 2)):
                self.scheduler.sleep(self.rng.random() * 2)
                work.beat(place.deps, run)
            if self.rng.random() < self.faults.stall:
                self.scheduler.sleep(QUICK.lease_seconds * 2)
                self.reached["worker stalled past its lease"] += 1
        except StaleFence:
            self.reached["heartbeat of a dead attempt refused"] += 1
        if place.stopping:
            after = work.hand_back(place.deps, place.dispatcher, run)
            self.reached["late hand-back refused" if after is None else f"handed back: {after.state}"] += 1
            return
        after = work.finish(place.deps, place.dispatcher, run, work.Ending(outcome=outcome_of(run)))
        self.reached["late result refused" if after is None else f"finished: {after.state}"] += 1

    def _sweeping(self, place: Place) -> None:
        """Where nothing fails nobody sweeps: what is left undone then shows."""

        def rounds() -> None:
            while not self.quiet and not place.stopping:
                self.scheduler.sleep(SWEEP_SECONDS * (0.5 + self.rng.random()))
                self.world.operations.attempt(lambda: sweep.sweep(place.deps, place.dispatcher))

        if self.faults != CALM:
            self.scheduler.spawn("sweep", place, rounds)

    # --- processes come and go

    def _maybe_crash(self) -> None:
        if not self.quiet and self.rng.random() < self.faults.freeze:
            self._freeze(self.rng.choice(self.places))
        if not self.quiet and self.rng.random() < self.faults.crash:
            self._crash(self.rng.choice(self.places))

    def _crash(self, place: Place) -> None:
        """The process dies where its tasks stand; another starts in its place and knows nothing."""
        lost = self.scheduler.kill(place)
        self.reached["process killed"] += 1
        self.reached["process killed in the middle of something"] += lost > 1
        self.world.say("crash", place.name)
        self._succeed(place)

    def _freeze(self, place: Place) -> None:
        """The process stands still past its leases while others go on, then continues where it stood."""
        if self.scheduler.frozen(place) or self.reached["process stood still past its leases"] == MOST_FREEZES:
            return
        busy = self.scheduler.freeze(place, QUICK.lease_seconds * (0.5 + 2 * self.rng.random()))
        self.reached["process stood still past its leases"] += 1
        self.reached["process stood still in the middle of something"] += busy
        self.world.say("freeze", place.name)

    def _stop(self, place: Place) -> None:
        """The process is told to stop: it takes nothing new and hands back what it holds; another starts beside it."""
        if not place.stopping:
            place.stopping = True
            self.world.say("stop", place.name)
            self._succeed(place)

    def _succeed(self, place: Place) -> None:
        after = self._new_place(place.name)
        self.places[self.places.index(place)] = after
        self._sweeping(after)

    def _new_place(self, name: str) -> Place:
        skew = self.rng.choice(SKEWS)
        self.reached["clock skewed"] += skew != 0
        return self.world.place(name, self.faults, self.broker, skew)


IN_MEMORY = Ground().virtual


def simulate(
    seed: int, open_store: OpenStore = IN_MEMORY, faults: Faults | None = None, mix: str | None = None
) -> History:
    """The history of a seed; with other `faults` or another `mix` than the seed would have it is another history."""
    return Simulation(seed, open_store, faults, mix).run()
