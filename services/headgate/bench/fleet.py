"""A fleet in virtual time: the real flows over the real SQLite store in memory, workers that take exactly as long as said."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

from headgate.core.policy import Policy
from headgate.core.submission import Submission
from headgate.core.tenant import Tenant
from headgate.flow import setup, work
from headgate.flow.deps import Asking, Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.submit import Accepted, Answer, Submitter
from headgate.handlers.interface import Done
from headgate.store.committer import Budget
from headgate.store.reader import Store
from headgate.store.sqlite import SqliteBackend
from headgate.verify.faulty import Pigeonhole
from headgate.verify.live import owner
from headgate.verify.places import KINDS, Anything, Ids, NoArtifacts, Silence

START = 1_800_000_000_000


class VirtualTiming:
    """Time that the fleet moves; waiting moves nothing, chance comes from a fixed sequence."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._chance = 0.0

    def monotonic(self) -> float:
        """See flow.deps.Timing."""
        return self._now() / 1000

    def wall_ms(self) -> int:
        """See flow.deps.Timing."""
        return self._now()

    def sleep(self, seconds: float) -> None:
        """Nothing competes with this process, so nothing is worth waiting for."""

    def random(self) -> float:
        """The golden ratio's multiples: spread evenly, the same in every run."""
        self._chance = (self._chance + 0.6180339887498949) % 1.0
        return self._chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One run: whose, and when it was submitted, started and done (seconds from the beginning)."""

    tenant: str
    submitted: float
    started: float
    done: float


class Fleet:
    """Submit with `at`, then `run`. Every run takes the seconds that were said when it was submitted."""

    def __init__(self, policy: Policy, tenants: Mapping[str, str]) -> None:
        self.now = START
        timing, ids = VirtualTiming(lambda: self.now), Ids()
        self.inbox = Pigeonhole()
        store = Store(SqliteBackend(":memory:", "off", lambda: self.now), timing, ids.commit, Budget())
        self.deps = Deps(
            store=store, policy=policy, delivery=self.inbox, handlers={kind: Anything(kind) for kind in KINDS},
            artifacts=NoArtifacts(), ids=ids, timing=timing, telemetry=Silence(),
        )  # fmt: skip
        self.dispatcher = Dispatcher(self.deps)
        self.submitter = Submitter(self.deps, self.dispatcher)
        setup.prepare(self.deps, self.dispatcher)
        for tenant, plan in tenants.items():
            setup.create_tenant(self.deps, tenant, plan, quota_exempt=True)
        self.refused: Counter[str] = Counter()
        self.lives: list[Life] = []
        self._seconds: dict[str, float] = {}
        self._submitted: dict[str, int] = {}
        self._moments: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, second: float, act: Callable[[], object]) -> None:
        """Do something at a moment, in the order in which it was asked."""
        moment = START + round(second * 1000)
        heapq.heappush(self._moments, (moment, next(self._order), lambda: (act(), None)[1]))

    def submit(self, tenant: str, seconds: float, asked: Submission) -> Answer:
        """One submission now; its run takes so many seconds once it starts."""
        answer = self.submitter.submit(owner(tenant), tenant, asked, Asking())
        if isinstance(answer, Accepted):
            self._seconds[answer.run.id] = seconds
            self._submitted[answer.run.id] = self.now
        else:
            self.refused[str(answer.refusal.code)] += 1
        self._deliver()
        return answer

    def run(self, until: float = float("inf")) -> None:
        """Go on until nothing is left to happen, or that second."""
        while self._moments and self._moments[0][0] <= START + until * 1000:
            self.now, _, act = heapq.heappop(self._moments)
            act()

    def tenant(self, tenant: str) -> Tenant:
        """Its document now."""
        found = self.deps.store.get(Tenant, tenant)
        assert found is not None
        return found

    def _deliver(self) -> None:
        """Workers take what was published at once."""
        for message in self.inbox.taken():
            claimed = work.claim(self.deps, message.run_id, message.fence, "worker")
            if claimed is not None:
                started = self.now
                end = self.now + round(self._seconds[claimed.id] * 1000)

                def finish(run=claimed, began=started) -> None:  # type: ignore[no-untyped-def] # bound now, not later
                    work.finish(self.deps, self.dispatcher, run, work.Ending(outcome=Done({})))
                    at = [(moment - START) / 1000 for moment in (self._submitted[run.id], began, self.now)]
                    self.lives.append(Life(tenant=run.tenant, submitted=at[0], started=at[1], done=at[2]))
                    self._deliver()

                heapq.heappush(self._moments, (end, next(self._order), finish))
