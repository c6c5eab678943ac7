"""The simulator: several processes run the real flows over the real SQLite store in memory, under a seeded scheduler.

Each touch of the store, each message and each wait is a point at which another task goes on, a process dies, or the
network lies. A seed is one history; the same seed makes the same history, shown by its hash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from random import Random

from headgate.core.access import Caller, Role
from headgate.core.errors import HeadgateError, StaleFence
from headgate.core.policy import Execution, LineBounds, OnLimit, Policy
from headgate.core.run import Run
from headgate.core.submission import Submission
from headgate.delivery.port import Message
from headgate.flow import cancel, fleet, invariants, pause, setup, sweep, work
from headgate.flow.audit import Reason
from headgate.flow.deps import Asking
from headgate.flow.pause import Pause
from headgate.flow.submit import Accepted
from headgate.handlers.interface import Done, Failed
from headgate.store.documents import where
from headgate.store.port import Backend, Write
from headgate.verify.faults import Faults
from headgate.verify.faulty import FaultyBackend, FaultyBroker, Pigeonhole
from headgate.verify.ground import Clock, Ground
from headgate.verify.places import Ids, Place, make_place
from headgate.verify.scheduler import Scheduler
from headgate.verify.watcher import Broken, Watcher

START = 1_800_000_000_000
TENANTS: Mapping[str, str] = {"alpha": "pro", "beta": "pro", "gamma": "free"}
QUICK = Execution(lease_seconds=6.0, heartbeat_seconds=2.0, backoff_min_seconds=1.0, publish_grace_seconds=3.0)
SWEEP_SECONDS = 5.0
POLICY = replace(
    Policy(), system=4, kinds={"git": 2}, org=3, line=LineBounds(total=30, per_tenant=20, per_user=4), execution=QUICK
)
OPERATIONS = 24
OpenStore = Callable[[Clock], Backend]
"""Makes a fresh store that knows no time but the clock's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What one seed came to."""

    seed: int
    digest: str
    steps: int
    reached: Mapping[str, int]
    broken: str | None = None


class Simulation:
    """One history."""

    def __init__(self, seed: int, open_store: OpenStore, faults: Faults | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        drawn = Faults.drawn(self.rng)
        self.faults = drawn if faults is None else faults
        self.scheduler = Scheduler(self.rng, START, self.rng.choice((1.0, 0.5, 0.2, 0.05)))
        self.store = open_store(lambda: self.scheduler.now)
        self.reached: Counter[str] = Counter()
        self.watcher = Watcher(self.store)
        self.broker = FaultyBroker(self.scheduler, self.faults, self.reached)
        self.ids = Ids()
        self.hash = sha256()
        self.accepted: dict[str, str] = {}
        self.quiet = False
        self.broker.deliver = self._deliver
        self.places = [self._new_place(f"p{n}") for n in range(self.rng.randint(1, 3))]
        self.calm_sea = Pigeonhole()
        self.calm = make_place("calm", self._backend(Faults()), self.calm_sea, self.scheduler, self.ids, POLICY, 0)
        setup.prepare(self.calm.deps, self.calm.dispatcher)
        for tenant, plan in TENANTS.items():
            setup.create_tenant(self.calm.deps, tenant, plan)

    def run(self) -> History:
        """The whole history: operations under faults, then calm until everything has ended."""
        broken: str | None = None
        try:
            self._storm()
            self._after_the_storm()
        except Broken as promise:
            broken = str(promise)
        self.store.close()
        steps = self.scheduler.steps
        return History(
            seed=self.seed, digest=self.hash.hexdigest()[:16], steps=steps, reached=self.reached, broken=broken
        )

    # --- the storm

    def _storm(self) -> None:
        for place in self.places:
            self._sweeping(place)
        self.scheduler.spawn("operator", self.calm, self._operate)
        while not self.quiet or not self.scheduler.idle():
            if not self.scheduler.step():
                break
            self._maybe_crash()
            if self.scheduler.steps > 40_000:
                raise Broken("the history does not end: livelock")

    def _operate(self) -> None:
        """The operations, one after the other, each as a task of some process."""
        actions = (self._submit,) * 8 + (
            self._cancel,
            self._pause,
            self._resume,
            self._cap,
            self._mode,
            self._kind,
            self._limit,
        )
        for number in range(OPERATIONS):
            self.scheduler.sleep(self.rng.random() * self.rng.choice((0.01, 0.5, 3.0)))
            action = self.rng.choice(actions)
            place = self.rng.choice(self.places)
            self._say("operation", number, action.__name__, place.name)
            self.scheduler.spawn(action.__name__, place, partial(self._try, action, place))
        self.scheduler.sleep(30)
        self.quiet = True

    def _try(self, action: Callable[[Place], object], place: Place) -> None:
        try:
            action(place)
        except HeadgateError as error:
            self.reached[f"answered {error.code}"] += 1

    def _submit(self, place: Place) -> None:
        tenant = self.rng.choice(list(TENANTS))
        asked = Submission(
            kind=self.rng.choice(("command", "git")),
            user=self.rng.choice((None, "ada", "bob")),
            repo=self.rng.choice((None, "o/one", "o/two")),
            priority=self.rng.randint(0, 5),
            on_limit=self.rng.choice((None, OnLimit.QUEUE, OnLimit.QUEUE, OnLimit.REJECT)),
            not_before=self.scheduler.now + 4_000 if self.rng.random() < 0.1 else None,
        )
        caller = Caller(credential="sim", role=Role.OWNER, tenant=tenant)
        key = f"k{self.rng.randint(1, 6)}" if self.rng.random() < 0.2 else None
        answer = place.submitter.submit(caller, tenant, asked, Asking(), key)
        if isinstance(answer, Accepted):
            self.accepted[answer.run.id] = tenant
            self.reached["accepted, waits" if answer.status == 202 else "accepted, starts"] += 1
        else:
            self.reached[f"refused {answer.refusal.code}"] += 1

    def _cancel(self, place: Place) -> None:
        if self.accepted:
            run_id = self.rng.choice(sorted(self.accepted))
            self.reached[f"cancel: {cancel.cancel_run(place.deps, self.accepted[run_id], run_id).state}"] += 1
            place.dispatcher.dispatch()

    def _pause(self, place: Place) -> None:
        scope = self.rng.choice(("tenant", "user:ada", "repo:o/one"))
        mode = self.rng.choice(("reject", "hold", "hold", "drain", "drain_cancel"))
        until = self.scheduler.now + 8_000 if self.rng.random() < 0.5 else None
        asked = Pause(scope=scope, mode=mode, until=until)
        pause.pause(place.deps, place.dispatcher, self.rng.choice(list(TENANTS)), asked, self._why())
        self.reached[f"paused: {mode}"] += 1

    def _resume(self, place: Place) -> None:
        tenant = self.rng.choice(list(TENANTS))
        for scope in ("tenant", "user:ada", "repo:o/one"):
            pause.resume(place.deps, place.dispatcher, tenant, scope, self._why())

    def _cap(self, place: Place) -> None:
        scope = self.rng.choice(("system", "kind:git", "kind:command"))
        fleet.set_cap(place.deps, place.dispatcher, scope, self.rng.choice((1, 2, 3, 5, None)), self._why())
        self.reached["cap changed"] += 1

    def _limit(self, place: Place) -> None:
        self.reached["deal asked"] += 1
        fleet.deal(place.deps, "system")

    def _mode(self, place: Place) -> None:
        mode = self.rng.choice(("normal", "normal", "draining", "maintenance"))
        fleet.set_mode(place.deps, place.dispatcher, mode, self._why())
        self.reached[f"mode: {mode}"] += 1

    def _kind(self, place: Place) -> None:
        if self.rng.random() < 0.5:
            fleet.close_kind(place.deps, place.dispatcher, "git", self.rng.choice(("hold", "reject")), self._why())
            self.reached["kind closed"] += 1
        else:
            fleet.open_kind(place.deps, place.dispatcher, "git", self._why())

    # --- workers

    def _deliver(self, message: Message) -> None:
        place = self.rng.choice(self.places)
        self.scheduler.spawn("worker", place, lambda: self._try(lambda where: self._work(where, message), place))

    def _work(self, place: Place, message: Message) -> None:
        """Claim, work with heartbeats (or stall past the lease), finish."""
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
        failed = Failed(code="HANDLER_ERROR", message="simulated", retryable=self.rng.random() < 0.7)
        outcome = failed if self.rng.random() < 0.2 else Done({})
        after = work.finish(place.deps, place.dispatcher, run, work.Ending(outcome=outcome))
        self.reached["late result refused" if after is None else f"finished: {after.state}"] += 1

    def _sweeping(self, place: Place) -> None:
        def rounds() -> None:
            while not self.quiet:
                self.scheduler.sleep(SWEEP_SECONDS * (0.5 + self.rng.random()))
                self._try(lambda where: sweep.sweep(where.deps, where.dispatcher), place)

        self.scheduler.spawn("sweep", place, rounds)

    # --- crashes

    def _maybe_crash(self) -> None:
        """A process dies where its tasks stand; another starts in its place and knows nothing."""
        if self.quiet or self.rng.random() >= self.faults.crash:
            return
        index = self.rng.randrange(len(self.places))
        lost = self.scheduler.kill(self.places[index])
        self.reached["process killed"] += 1
        self.reached["process killed in the middle of something"] += lost > 1
        self._say("crash", self.places[index].name)
        self.places[index] = self._new_place(self.places[index].name)
        self._sweeping(self.places[index])

    def _new_place(self, name: str) -> Place:
        skew = self.rng.choice((0, 45_000, -45_000, 3_600_000))
        return make_place(name, self._backend(self.faults), self.broker, self.scheduler, self.ids, POLICY, skew)

    def _backend(self, faults: Faults) -> FaultyBackend:
        return FaultyBackend(self.store, self.scheduler, faults, self.reached, self._committed)

    # --- what must hold

    def _committed(self, writes: Sequence[Write]) -> None:
        for write in writes:
            self._say("write", *write.key)
        self.watcher.committed(writes)

    def _after_the_storm(self) -> None:
        """Everything opened again, a few sweeps: every run must end, and no slot be left."""
        self._audit("after the storm")
        deps, dispatcher = self.calm.deps, self.calm.dispatcher
        fleet.set_mode(deps, dispatcher, "normal", self._why())
        fleet.open_kind(deps, dispatcher, "git", self._why())
        for scope in ("system", "kind:git", "kind:command"):
            fleet.set_cap(deps, dispatcher, scope, 4, self._why())
        for tenant in TENANTS:
            for scope in ("tenant", "user:ada", "repo:o/one"):
                pause.resume(deps, dispatcher, tenant, scope, self._why())
        for _ in range(200):
            live = self._live()
            if not live:
                break
            self.scheduler.now += 61_000
            sweep.sweep(deps, dispatcher)
            for message in self.calm_sea.taken():
                self._finish_calmly(message)
        left = [f"{run.id} is {run.state}" for run in self._live()]
        if left:
            raise Broken(f"never ends: {', '.join(left)}")
        self._audit("at the end")
        missing = [run_id for run_id in self.accepted if deps.store.get(Run, run_id) is None]
        if missing:
            raise Broken(f"accepted and lost: {missing}")

    def _finish_calmly(self, message: Message) -> None:
        claimed = work.claim(self.calm.deps, message.run_id, message.fence, "calm")
        if claimed is not None:
            work.finish(self.calm.deps, self.calm.dispatcher, claimed, work.Ending(outcome=Done({})))

    def _live(self) -> list[Run]:
        states = ["queued", "pending", "running"]
        return self.calm.deps.store.query(Run, where(Run, ("state", "in", states), order=("created_at",)))

    def _audit(self, when: str) -> None:
        found = invariants.check(self.calm.deps).violations
        if found:
            first = found[0]
            raise Broken(f"{when}: {first.invariant} {first.subject}: {first.detail} (and {len(found) - 1} more)")

    def _why(self) -> Reason:
        return Reason(id=self.ids.new("aud"), actor="sim")

    def _say(self, *words: object) -> None:
        self.hash.update(repr((self.scheduler.now, *words)).encode())


IN_MEMORY = Ground().virtual


def simulate(seed: int, open_store: OpenStore = IN_MEMORY, faults: Faults | None = None) -> History:
    """The history of a seed; with other `faults` than the seed would draw it is another history."""
    return Simulation(seed, open_store, faults).run()
