"""What a history happens in: a store, some processes, a broker, and whoever watches every commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from random import Random

from headgate.core.run import Run
from headgate.core.scopes import SYSTEM, kind_scope
from headgate.core.tenant import Tenant
from headgate.delivery.port import Delivery, Message
from headgate.flow import fleet, invariants, setup, sweep, work
from headgate.handlers.interface import Done, Failed
from headgate.store.port import Write
from headgate.verify import order
from headgate.verify.faults import Faults
from headgate.verify.faulty import FaultyBackend, FaultyBroker
from headgate.verify.ground import OpenStore
from headgate.verify.mixes import Mix, Op, limit
from headgate.verify.operations import Operations
from headgate.verify.places import Ids, Place, Surroundings, make_place
from headgate.verify.scheduler import Scheduler
from headgate.verify.watcher import Broken, Watcher

START = 1_800_000_000_000
MOST_STEPS = 40_000
UNSWEPT = 1e9
"""Seconds of patience while nobody sweeps: what lies past its time is for the sweep that follows."""
CALM = Faults()


class World:
    """Set up and still: nothing has been asked of it yet. Its own process, `calm`, never has a fault."""

    def __init__(self, mix: Mix, rng: Random, scheduler: Scheduler, open_store: OpenStore) -> None:
        self.mix, self.rng, self.scheduler = mix, rng, scheduler
        self.store = open_store(lambda: scheduler.now)
        self.reached: Counter[str] = Counter()
        self.watcher = Watcher(mix.policy, self.reached)
        self.picture = self.watcher.picture
        self.hash = sha256()
        self.around = Surroundings(scheduler=scheduler, ids=Ids(), policy=mix.policy, reached=self.reached)
        self.operations = Operations(scheduler, self.reached)
        broker = FaultyBroker(scheduler, CALM, self.reached, self.work_calmly)
        self.calm = self.place("calm", CALM, broker)
        self._set_up()

    def place(self, name: str, faults: Faults, broker: Delivery, skew_ms: int = 0) -> Place:
        """A process that has just started."""
        backend = FaultyBackend(self.store, self.scheduler, faults, self.reached, self._committed)
        return make_place(name, backend, broker, self.around, skew_ms)

    def say(self, *words: object) -> None:
        """One more fact of the history, which its hash covers."""
        self.hash.update(repr((self.scheduler.now, *words)).encode())

    def settle(self, between: Callable[[], object] = lambda: None) -> None:
        """Until nothing is left to do; `between` is called after each turn. Raises Broken."""
        most = self.scheduler.steps + MOST_STEPS
        while self.scheduler.step():
            between()
            if self.watcher.broken is not None:
                raise self.watcher.broken
            if self.scheduler.steps > most:
                raise Broken("the history does not end: livelock")
        for task in self.scheduler.hanging():
            raise Broken(f"nothing will ever wake {task}")

    def work_calmly(self, message: Message) -> None:
        """A worker that claims, works and finishes, with nothing in between."""
        self.scheduler.spawn("worker", self.calm, partial(self._work_calmly, message))

    def at_rest(self, when: str) -> None:
        """Nobody waits for nothing, nothing was left half-way, no run is on its way. Raises Broken."""
        self.in_order(when)
        for run in self.picture.live:
            if run.in_flight:
                raise Broken(f"{when}: {run.id} is {run.state}")

    def in_order(self, when: str) -> None:
        """Nobody waits for nothing, nothing was left half-way. Raises Broken."""
        left = order.kept_waiting(self.picture)
        if left:
            raise Broken(f"{when}: {left} wait, and all they need is free")
        for what in order.half_way(self.picture):
            raise Broken(f"{when}: {what}")

    def to_the_end(self) -> None:
        """Every lease over, one sweep: what can start does, what was begun ends. All opened: every run ends."""
        self._audit("after the storm", patience=UNSWEPT)  # a process that slept on may have let the last sweep grow old
        self.scheduler.now = swept = max(self.scheduler.now, *self._moments()) + 1000
        self.scheduler.spawn("sweep", self.calm, lambda: sweep.sweep(self.calm.deps, self.calm.dispatcher))
        self.settle()
        self.at_rest("after one sweep")
        for run in self.picture.live:
            if run.start_by is not None and run.start_by < swept:
                raise Broken(f"after one sweep: {run.id} is {run.state}, its start deadline has passed")
        self.scheduler.spawn("open", self.calm, self._open_everything)
        self.settle()
        left = [f"{run.id} is {run.state}" for run in self.picture.live]
        if left:
            raise Broken(f"never ends: {', '.join(left)}")
        self._audit("at the end")
        missing = [run_id for run_id in self.operations.accepted if self.calm.deps.store.get(Run, run_id) is None]
        if missing:
            raise Broken(f"accepted and lost: {missing}")

    # --- inside

    def _set_up(self) -> None:
        setup.prepare(self.calm.deps, self.calm.dispatcher)
        for tenant in self.mix.tenants:
            setup.create_tenant(self.calm.deps, tenant, tenant)
            for scope, cap in self.mix.limits.get(tenant, {}).items():
                self.operations.perform(limit(tenant, scope, cap), self.calm)
        for scope, cap in self._final_caps().items():
            self.operations.perform(Op("cap", {"scope": scope, "cap": cap}), self.calm)

    def _final_caps(self) -> dict[str, int]:
        return {scope: self.mix.system if scope == SYSTEM else self.mix.kinds[scope] for scope in self.mix.made}

    def _committed(self, writes: Sequence[Write]) -> None:
        for write in writes:
            self.say("write", *write.key)
        self.watcher.committed(writes)

    def _moments(self) -> list[int]:
        """When each thing that a run waits for is over."""
        live = self.picture.live
        return [m for run in live for m in (run.lease_until, run.publish_due, run.not_before) if m is not None] or [0]

    def _open_everything(self) -> None:
        operations, deps, why = self.operations, self.calm.deps, self.operations.why(self.calm)
        fleet.set_mode(deps, self.calm.dispatcher, "normal", why)
        for kind in self.mix.kinds:
            operations.perform(Op("reopen", {"kind": kind}), self.calm)
        for scope in (SYSTEM, *map(kind_scope, self.mix.kinds)):
            fleet.set_cap(deps, self.calm.dispatcher, scope, 4, operations.why(self.calm))
        for tenant, gates in [(tenant.id, tenant.gates) for tenant in self.picture.all(Tenant)]:
            for scope in gates:
                operations.perform(Op("resume", {"tenant": tenant, "scope": scope}), self.calm)

    def _work_calmly(self, message: Message) -> None:
        run = work.claim(self.calm.deps, message.run_id, message.fence, "calm")
        if run is not None:
            work.finish(self.calm.deps, self.calm.dispatcher, run, work.Ending(outcome=outcome_of(run)))

    def _audit(self, when: str, patience: float = invariants.PATIENCE_SECONDS) -> None:
        found = invariants.check(self.calm.deps, patience).violations
        if found:
            first = found[0]
            raise Broken(f"{when}: {first.invariant} {first.subject}: {first.detail} (and {len(found) - 1} more)")


def outcome_of(run: Run) -> Done | Failed:
    """How this attempt of the run ends: as often as was asked with a failure that may be tried again (-1: for good)."""
    fails = int(run.labels["fails"])
    if 0 <= fails < run.attempt:
        return Done({})
    return Failed(code="HANDLER_ERROR", message="simulated", retryable=fails > 0)
