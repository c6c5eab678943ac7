"""What the killed process does: a scripted scene of the real flows, told step by step to whoever watches.

One thread, chance from the seed: the n-th statement of a seed is the same statement every time. What the process has
answered it tells at once, as a client would have heard it: after its death those answers are promises to be kept.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from headgate import sources
from headgate.core.access import Caller, Role
from headgate.core.policy import Execution, LineBounds, OnLimit, Policy, PressurePolicy
from headgate.core.run import IN_FLIGHT, TERMINAL, Run
from headgate.core.submission import Submission
from headgate.delivery.port import Message
from headgate.flow import cancel, dead_letters, fleet, pause, setup, sweep, work
from headgate.flow.audit import Reason
from headgate.flow.deps import Asking, Deps
from headgate.flow.pause import Pause
from headgate.flow.submit import Accepted, Submitter
from headgate.handlers.interface import Done, Failed
from headgate.store.committer import Budget
from headgate.store.documents import where
from headgate.store.port import Backend
from headgate.store.reader import Store
from headgate.verify.crash_points import (
    PointedBackend,
    PointedBroker,
    PointedDispatcher,
    Points,
    TracedSqlite,
    Transactionless,
)
from headgate.verify.places import KINDS, Anything, NoArtifacts, Silence

LEASE_SECONDS = 0.3
SWEEP_SECONDS = 0.2
QUICK = Execution(
    lease_seconds=LEASE_SECONDS,
    heartbeat_seconds=0.1,
    backoff_min_seconds=0.02,
    backoff_max_seconds=0.1,
    publish_grace_seconds=0.2,
)
POLICY = replace(
    Policy(),
    system=3,
    kinds={"git": 2, "command": 3},
    org=3,
    line=LineBounds(total=14, per_tenant=12, per_user=8),
    execution=QUICK,
    pressure=PressurePolicy(slow_per_second=50.0, ramp_double_seconds=0.1, ramp_seconds=1),
)
PATIENT = Budget(contention=30.0, outage=20.0, call=10.0)
"""A busy machine must not look like an outage here: what is tried are deaths."""
TENANTS = {"alpha": "pro", "beta": "free"}
NO_TRANSACTION = "no-transaction"
MUTANTS = (NO_TRANSACTION,)

Tell = Callable[..., None]
"""Says something to the watcher, as `name=value`; it is heard even if the process dies right after."""

WORKER = "scene:"
"""Prefix of the workers' names: at a start all of them are those of dead processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and how a scene is played: `store` is sqlite or firestore, `folder` its own (the project is called by it)."""

    store: str
    folder: Path
    seed: int
    mutant: str | None = None

    @property
    def project(self) -> str:
        """The folder's name as a project may be called: temporary folders have underscores, projects end in a letter."""
        return f"{self.folder.name.replace('_', '-')}-x"


@dataclass
class Names:
    """Ids that repeat with the seed and differ between the processes of one scene."""

    process: str
    last: int = 0

    def new(self, prefix: str) -> str:
        """See flow.deps.Ids."""
        self.last += 1
        return f"{prefix}_{self.process}{self.last}"

    def commit(self) -> str:
        """The next commit's id."""
        return self.new("c")

    def secret(self) -> str:
        """No secret at all."""
        return self.new("s")


@dataclass
class World:
    """One process's parts."""

    setting: Setting
    name: str
    points: Points
    tell: Tell
    waiting: deque[Message] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Open the store, wire the flows, make what every start makes."""
        self.tell = _noticed(self.tell, self.points)
        timing, ids = sources.SystemTiming(Random(self.setting.seed)), Names(self.name)
        backend = PointedBackend(_backend(self.setting, self.points, ids, timing), self.points)
        self.broker = PointedBroker(points=self.points)
        self.deps = Deps(
            store=Store(backend, timing, ids.commit, PATIENT),
            policy=POLICY,
            delivery=self.broker,
            handlers={kind: Anything(kind) for kind in KINDS},
            artifacts=NoArtifacts(),
            ids=ids,
            timing=timing,
            telemetry=Silence(),
        )
        self.dispatcher = PointedDispatcher(self.deps)
        self.dispatcher.points = self.points
        self.submitter = Submitter(self.deps, self.dispatcher)
        with self.points.step("start"):
            setup.prepare(self.deps, self.dispatcher)
            for tenant, plan in TENANTS.items():
                setup.create_tenant(self.deps, tenant, plan)

    def submit(self, tenant: str, asked: Submission, key: str | None = None) -> Run | None:
        """Submit, and tell the answer. None: refused."""
        caller = Caller(credential="crash", role=Role.OWNER, tenant=tenant)
        with self.points.step("submit"):
            answer = self.submitter.submit(caller, tenant, asked, Asking(), key)
        if not isinstance(answer, Accepted):
            return None
        self.tell(accepted=answer.run.id, key=key)
        return answer.run

    def claim(self) -> Run | None:
        """Take the next message that is still worth something."""
        while True:
            self.waiting += self.broker.taken()
            if not self.waiting:
                return None
            message = self.waiting.popleft()
            with self.points.step("claim"):
                run = work.claim(self.deps, message.run_id, message.fence, f"{WORKER}{self.name}")
            if run is not None:
                return run

    def finish(self, run: Run, outcome: Done | Failed) -> None:
        """Record the outcome, and tell it if it is the run's end."""
        with self.points.step("finish"):
            after = work.finish(self.deps, self.dispatcher, run, work.Ending(outcome=outcome, output="done\n"))
        if after is not None and after.state in TERMINAL:
            self.tell(ended=run.id, state=str(after.state))

    def sweep(self) -> None:
        """One round."""
        with self.points.step("sweep"):
            sweep.sweep(self.deps, self.dispatcher)

    def why(self) -> Reason:
        """Of an operator's change."""
        return Reason(id=self.deps.ids.new("aud"), actor="crash")

    def live(self) -> list[Run]:
        """Every run that has not ended."""
        states = ["queued", "pending", "running"]
        return self.deps.store.query(Run, where(Run, ("state", "in", states), order=("created_at",)))


def keyed(seed: int) -> dict[str, Submission]:
    """The submissions that carry an Idempotency-Key: whoever heard no answer repeats them."""
    rng = Random(seed)
    return {f"key-{n}": replace(_drawn(rng), labels={"key": f"key-{n}"}) for n in range(7)}


def _drawn(rng: Random) -> Submission:
    return Submission(
        kind=rng.choice(KINDS),
        user=rng.choice((None, "ada", "bob")),
        repo=rng.choice((None, "o/one", "o/two")),
        priority=rng.randint(0, 7),
        on_limit=OnLimit.QUEUE,
    )


def play(world: World) -> None:
    """The scene, to its end if nobody kills it."""
    for act in (_crowd, _work, _cancels, _pauses, _caps, _modes, _lose_a_worker, _finish_all):
        act(world)
    world.deps.store.close()


def _crowd(world: World) -> None:
    """Some start, some wait, one is delayed, one must start by a moment, one replaces another."""
    for key, asked in keyed(world.setting.seed).items():
        world.submit("alpha", asked, key)
    now = world.deps.store.now()
    world.submit("alpha", Submission(kind="git", on_limit=OnLimit.QUEUE, not_before=now + 150))
    # Long enough to be submitted on a busy machine; it expires in the line when the scene or its recovery takes longer.
    world.submit("alpha", Submission(kind="git", on_limit=OnLimit.QUEUE, start_by=now + 1000, priority=0))
    for _ in range(2):
        again = Submission(kind="command", on_limit=OnLimit.CANCEL_IN_PROGRESS, concurrency_key="deploy")
        world.submit("beta", again)


def _work(world: World) -> None:
    """Done, failed for good, failed to be tried again, handed back, dead-lettered."""
    retry = Failed(code="HANDLER_ERROR", message="once more", retryable=True)
    final = Failed(code="EXIT_NONZERO", message="exit status 1")
    for outcome in (Done({"ok": True}), retry, final):
        run = world.claim()
        if run is not None:
            with world.points.step("beat"):
                work.beat(world.deps, run, "working\n")
            world.finish(run, outcome)
    run = world.claim()
    if run is not None:
        with world.points.step("hand back"):
            work.hand_back(world.deps, world.dispatcher, run)
    world.waiting += world.broker.taken()
    if world.waiting:
        message = world.waiting.popleft()
        with world.points.step("dead letter"):
            dead_letters.bury(world.deps, world.dispatcher, message, "")


def _cancels(world: World) -> None:
    """One that waits, one that has its slots, one that runs."""
    world.claim()
    by_state = {run.state: run for run in world.live()}
    for run in by_state.values():
        with world.points.step("cancel"):
            after = cancel.cancel_run(world.deps, run.tenant, run.id)
            world.dispatcher.dispatch()
        world.tell(ended=run.id, state=str(after.state))


def _pauses(world: World) -> None:
    """Pending runs go back, new ones wait; a repository is emptied."""
    for asked in (Pause(mode="hold"), Pause(scope="repo:o/one", mode="drain")):
        why = world.why()
        with world.points.step("pause"):
            pause.pause(world.deps, world.dispatcher, "alpha", asked, why)
        world.tell(audited=why.id)
        world.submit("alpha", Submission(kind="command", repo="o/two", on_limit=OnLimit.QUEUE))
        why = world.why()
        with world.points.step("resume"):
            pause.resume(world.deps, world.dispatcher, "alpha", asked.scope, why)
        world.tell(audited=why.id)


def _caps(world: World) -> None:
    for cap in (1, 3):
        why = world.why()
        with world.points.step("cap"):
            fleet.set_cap(world.deps, world.dispatcher, "system", cap, why)
        world.tell(audited=why.id)


def _modes(world: World) -> None:
    for mode in ("maintenance", "normal"):
        why = world.why()
        with world.points.step("mode"):
            fleet.set_mode(world.deps, world.dispatcher, mode, why)
        world.tell(audited=why.id)


def _lose_a_worker(world: World) -> None:
    """A claimed run whose worker says nothing more: its lease runs out and the sweep takes it back."""
    world.claim()
    world.deps.timing.sleep(LEASE_SECONDS + 0.05)
    world.sweep()


def _finish_all(world: World) -> None:
    for _ in rounds(world):
        run = world.claim()
        while run is not None:
            world.finish(run, Done({"ok": True}))
            run = world.claim()


def rounds(world: World, most: int = 60) -> Iterator[int]:
    """A sweep and then the caller's part, until every run has ended or `most` rounds have gone by."""
    for number in range(most):
        world.sweep()
        yield number
        if not world.live():
            return
        world.deps.timing.sleep(0.05)


def in_flight(world: World) -> list[Run]:
    """Runs that hold slots."""
    return [run for run in world.live() if run.state in IN_FLIGHT]


def _noticed(tell: Tell, points: Points) -> Tell:
    def telling(**said: object) -> None:
        tell(**said)
        points.told()

    return telling


def _backend(setting: Setting, points: Points, ids: Names, timing: sources.SystemTiming) -> Backend:
    if setting.store == "firestore":
        from headgate.store.firestore import FirestoreBackend  # grpc takes half a second to import, more under strace

        host = os.environ["FIRESTORE_EMULATOR_HOST"]
        return FirestoreBackend(setting.project, emulator_host=host, timing=timing, new_id=ids.commit)
    made = Transactionless if setting.mutant == NO_TRANSACTION else TracedSqlite
    return made(setting.folder / "headgate.db", points)
