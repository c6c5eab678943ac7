"""Deliveries: thousands of messages, duplicated, shuffled, dropped, forged and far too late, on real threads. Each run
has one outcome, and nothing that a dead or doubled attempt still says changes it.

Two processes' worth of committers share the store and the broker. Some attempts stall past their lease, some finish
twice. When every run has ended, its old messages are delivered once more.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from headgate.core.errors import Unavailable
from headgate.core.policy import Execution, LineBounds, OnLimit, Policy
from headgate.core.run import LIVE, TERMINAL, Run
from headgate.core.submission import Submission
from headgate.delivery.port import DeliveryDown, Message
from headgate.flow import invariants, sweep, work
from headgate.flow.deps import Asking
from headgate.flow.submit import Accepted
from headgate.handlers.interface import Done, Failed
from headgate.sources import SystemTiming
from headgate.store.documents import where
from headgate.verify.decisions import FAIL, STALL, TWICE, Decisions
from headgate.verify.ground import Ground, fresh_name
from headgate.verify.live import live_place, owner, prepare, together
from headgate.verify.places import Place

T = TypeVar("T")
TENANTS = ("alpha", "beta", "gamma")
PROCESSES = 2
WORKERS = 8
DELIVERIES_PER_RUN = 4
ENOUGH = 1_000
"""From so many deliveries on a stale finish must have been seen."""
SWEEP_SECONDS = 0.25
QUICK = Execution(
    lease_seconds=0.6,
    heartbeat_seconds=0.2,
    backoff_min_seconds=0.05,
    backoff_max_seconds=0.2,
    publish_grace_seconds=2.0,
)
BOUNDLESS = LineBounds(total=1_000_000, per_tenant=1_000_000, per_user=1_000_000)
POLICY = replace(Policy(), line=BOUNDLESS, execution=QUICK)


@dataclass
class Crowd:
    """A broker that hands out its messages in any order, most of them more than once; it keeps all of them for later."""

    decisions: Decisions
    counted: Counter[str]
    published: list[Message] = field(default_factory=list)
    _bag: list[Message] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, message: Message, timeout: float) -> None:
        """See Delivery."""
        with self._lock:
            self.published.append(message)
            copies = self.decisions.copies()
            if not copies:
                self.counted["dropped"] += 1
                raise DeliveryDown("dropped")
            self._bag += [message] * copies

    def take(self) -> Message | None:
        """Any message, or None when there is none now."""
        with self._lock:
            if not self._bag:
                return None
            index = int(self.decisions.place() * len(self._bag))
            self._bag[index], self._bag[-1] = self._bag[-1], self._bag[index]
            return self._bag.pop()

    def once_more(self, count: int) -> None:
        """`count` of the messages there ever were, and among them forged ones: a fence and a run that never were."""
        with self._lock:
            for _ in range(count):
                late = self.decisions.late()
                old = self.published[int(late.which * len(self.published))]
                forged = {
                    None: old,
                    "fence": replace(old, fence=old.fence + 7),
                    "run": replace(old, run_id="run_nobody"),
                }
                self._bag.append(forged[late.forged])

    def ping(self, timeout: float) -> None:
        """See Delivery."""

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """What the messages came to."""

    deliveries: int
    runs: int
    ended: int
    duplicates: int
    counted: Mapping[str, int]
    seconds: float
    violations: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """One outcome each."""
        return not self.violations

    def as_json(self) -> Mapping[str, object]:
        """For scripts."""
        counts = {"deliveries": self.deliveries, "runs": self.runs, "ended": self.ended, "duplicates": self.duplicates}
        share = round(self.duplicates / max(1, self.deliveries), 3)
        rest = {"seconds": round(self.seconds, 1), "violations": list(self.violations), "ok": self.ok}
        return {**counts, "duplicateShare": share, **self.counted, **rest}


def run_deliveries(
    ground: Ground,
    seed: int,
    n: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    schedule: Path | None = None,
) -> Deliveries:
    """At least `n` deliveries of the messages of n / 4 runs. The decisions of a `schedule` file that exists are repeated
    (its seed and n count); if there is none, it is written. Raises InvalidRequest."""
    known = schedule is not None and schedule.exists()
    decisions = Decisions.load(schedule) if schedule is not None and known else Decisions(seed=seed, n=n)
    name = fresh_name()
    counted: Counter[str] = Counter({"staleRefused": 0, "nothingToDo": 0, "stalled": 0, "dropped": 0, "late": 0})
    crowd = Crowd(decisions, counted)
    places = [live_place(f"p{number}", ground.open(name), crowd, POLICY) for number in range(PROCESSES)]
    try:
        prepare(places[0], TENANTS, "enterprise")
        runs = max(1, decisions.n // DELIVERIES_PER_RUN)
        return _Storm(places, crowd, counted, runs, decisions.n, progress).run()
    finally:
        for place in places:
            place.deps.store.close()
        if schedule is not None and not known:
            decisions.save(schedule)


class _Storm:
    """One proof."""

    def __init__(
        self,
        places: list[Place],
        crowd: Crowd,
        counted: Counter[str],
        runs: int,
        wanted: int,
        progress: Callable[[int, int], None],
    ) -> None:
        self.places, self.crowd, self.counted = places, crowd, counted
        self.runs, self.wanted, self.progress = runs, wanted, progress
        self.timing = SystemTiming()
        self.accepted: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.seen: Counter[tuple[str, int]] = Counter()
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.bugs: list[str] = []

    def run(self) -> Deliveries:
        """Submit and work; when all has ended, the old messages again; then judge."""
        began = self.timing.monotonic()
        workers: list[Callable[[], None]] = [partial(self._work, self.places[n % PROCESSES]) for n in range(WORKERS)]
        together([self._until_all_ended, self._sweep, *workers])
        delivered = sum(self.seen.values())
        self.crowd.once_more(max(self.wanted - delivered, self.wanted // 10))
        together([partial(self._deliver_late, self.places[n % PROCESSES]) for n in range(WORKERS)])
        return self._judged(self.timing.monotonic() - began)

    # --- what goes on

    def _until_all_ended(self) -> None:
        shares = [(tenant, self.runs // 3 + (n < self.runs % 3)) for n, tenant in enumerate(TENANTS)]
        try:
            together([partial(self._submit, tenant, count) for tenant, count in shares])
            while (live := self._try(self._live)) != 0 and not self.over.is_set():
                self.progress(self.runs - (live or 0), self.runs)
                self.timing.sleep(0.2)
            self.progress(self.runs, self.runs)
        finally:
            self.over.set()

    def _live(self) -> int:
        return self.places[0].deps.store.count(where(Run, ("state", "in", sorted(LIVE))))

    def _submit(self, tenant: str, count: int) -> None:
        place = self.places[len(tenant) % PROCESSES]
        asked = Submission(kind="command", on_limit=OnLimit.QUEUE)
        for number in range(count):
            submit = partial(place.submitter.submit, owner(tenant), tenant, asked, Asking(), f"key-{number}")
            answer = None
            while answer is None and not self.over.is_set():
                answer = self._try(submit)  # again if the store was away: the same key makes it the same run
            if isinstance(answer, Accepted):
                with self.lock:
                    self.accepted.append(answer.run.id)

    def _sweep(self) -> None:
        place = self.places[0]
        while not self.over.wait(SWEEP_SECONDS):
            self._try(partial(sweep.sweep, place.deps, place.dispatcher))

    def _work(self, place: Place) -> None:
        while not self.over.is_set():
            message = self.crowd.take()
            if message is None:
                self.timing.sleep(0.005)
            else:
                self._try(partial(self._deliver, place, message))  # what is not dealt with the sweep sends again

    def _try(self, act: Callable[[], T]) -> T | None:
        """What it gives; None when the store did not answer in time, as on a machine that is busy with others."""
        try:
            return act()
        except Unavailable:
            self._count("unavailable")
        except Exception as error:  # noqa: BLE001 - a flow that complains is a violation, and ends the proof
            self.bugs.append(f"raised {error!r}")
            self.over.set()
        return None

    def _deliver_late(self, place: Place) -> None:
        while (message := self.crowd.take()) is not None:
            self._count("late")
            self._try(partial(self._deliver, place, message))

    def _deliver(self, place: Place, message: Message) -> None:
        """Claim, perhaps stall past the lease, finish, perhaps once more."""
        with self.lock:
            self.seen[message.run_id, message.fence] += 1
        run = work.claim(place.deps, message.run_id, message.fence, place.name)
        if run is None:
            return self._count("nothingToDo")
        fate = self.crowd.decisions.attempt()
        if STALL in fate:
            self._count("stalled")
            self.timing.sleep(QUICK.lease_seconds * 2)
        failed = Failed(code="HANDLER_ERROR", message="of the proof", retryable=True)
        for _ in range(2 if TWICE in fate else 1):
            self._finish(place, run, failed if FAIL in fate else Done({}))

    def _finish(self, place: Place, run: Run, outcome: Done | Failed) -> None:
        after = work.finish(place.deps, place.dispatcher, run, work.Ending(outcome=outcome))
        if after is None:
            return self._count("staleRefused")
        if after.state in TERMINAL:
            with self.lock:
                self.outcomes[run.id] += 1
        return None

    def _count(self, what: str) -> None:
        with self.lock:
            self.counted[what] += 1

    # --- what must hold

    def _judged(self, seconds: float) -> Deliveries:
        deliveries = sum(self.seen.values())
        duplicates = deliveries - len(self.seen)
        found = self.places[0].deps.store.get_all(Run, self.accepted)
        ended = sum(run is not None and run.state in TERMINAL for run in found)
        return Deliveries(
            deliveries=deliveries,
            runs=self.runs,
            ended=ended,
            duplicates=duplicates,
            counted=dict(self.counted),
            seconds=seconds,
            violations=tuple(self._wrong(found, deliveries, duplicates)),
        )

    def _wrong(self, found: list[Run | None], deliveries: int, duplicates: int) -> Iterator[str]:
        yield from self.bugs
        for run_id, run in zip(self.accepted, found, strict=True):
            ends = [] if run is None else [event for event in run.events if event.type == "run.finished"]
            if run is None or run.state not in TERMINAL or len(ends) != 1:
                yield f"{run_id}: {run.state if run else 'lost'}, {len(ends)} ends"
        yield from (f"{run_id}: {n} outcomes were recorded" for run_id, n in self.outcomes.items() if n > 1)
        yield from (f"{v.invariant} {v.subject}: {v.detail}" for v in invariants.check(self.places[0].deps).violations)
        if len(self.accepted) != self.runs or deliveries < self.wanted or duplicates < deliveries / 5:
            yield f"{len(self.accepted)} runs, {deliveries} deliveries, {duplicates} duplicates: too few to prove anything"
        if deliveries >= ENOUGH and not self.counted["staleRefused"]:
            yield "no stale finish was ever tried"
