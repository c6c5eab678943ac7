"""A whole headgate without threads, processes or a network: the real flows over the real SQLite store in memory,
a clock that the test moves, chance that repeats, and a delivery that holds its messages until the test takes them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headgate.core.access import Caller, Role
from headgate.core.errors import Code
from headgate.core.policy import Policy
from headgate.core.run import Run
from headgate.core.submission import AskedLimits, Submission
from headgate.core.tenant import Tenant
from headgate.delivery.port import Message
from headgate.flow import audit, setup, work
from headgate.flow.deps import Asking, Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.limits import Change, put_limit
from headgate.flow.submit import Accepted, Answer, Refused, Submitter
from headgate.handlers.interface import Done, Failed, Job
from headgate.outbound.folder_artifacts import FolderArtifacts
from headgate.store.committer import Budget
from headgate.store.port import Backend
from headgate.store.reader import Store
from headgate.store.sqlite import SqliteBackend
from tests.support.indexes import IndexedBackend

START = 1_800_000_000_000
"""A moment in 2027, ms."""


@dataclass
class Clock:
    """Time that stands still until it is moved; sleeping moves it."""

    ms: int = START

    def __call__(self) -> int:
        return self.ms

    def forward(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


class VirtualTiming:
    """Chance from a seed, waiting that only moves the clock."""

    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self._clock = clock
        self._chance = random.Random(seed)

    def monotonic(self) -> float:
        return self._clock.ms / 1000

    def wall_ms(self) -> int:
        return self._clock.ms

    def sleep(self, seconds: float) -> None:
        self._clock.forward(seconds)

    def random(self) -> float:
        return self._chance.random()


class CountingIds:
    """run_1, run_2 …: readable in a failing test."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def new(self, prefix: str) -> str:
        return f"{prefix}_{next(self._next)}"

    def commit(self) -> str:
        return f"c{next(self._next)}"

    def secret(self) -> str:
        return f"secret{next(self._next)}"


@dataclass
class HeldDelivery:
    """Messages in the order in which they were published."""

    messages: list[Message] = field(default_factory=list)

    def publish(self, message: Message, timeout: float) -> None:
        self.messages.append(message)

    def ping(self, timeout: float) -> None:
        return

    def close(self) -> None:
        return


@dataclass
class Facts:
    """Telemetry that remembers."""

    said: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def info(self, action: str, **facts: object) -> None:
        self.said.append((action, facts))

    warning = info

    def error(self, action: str, error: BaseException | None = None, **facts: object) -> None:
        self.said.append((action, {**facts, "error": error}))

    def actions(self) -> list[str]:
        return [action for action, _ in self.said]


@dataclass
class Anything:
    """A kind whose runs the test itself brings to their end."""

    kind: str

    def check(self, input: Mapping[str, object]) -> None:
        return

    def run(self, job: Job) -> Done | Failed:
        return Done({})


OWNER = Role.OWNER


class World:
    """The parts, and the verbs a test speaks."""

    def __init__(
        self,
        tmp_path: Path,
        policy: Policy | None = None,
        kinds: tuple[str, ...] = ("command", "git"),
        tenants: Mapping[str, str] | None = None,
        backend: Callable[[Clock], Backend] | None = None,
        seed: int = 1,
    ) -> None:
        self.clock = Clock()
        self.timing = VirtualTiming(self.clock, seed)
        self.delivery = HeldDelivery()
        self.telemetry = Facts()
        ids = CountingIds()
        made = IndexedBackend(backend(self.clock) if backend else SqliteBackend(":memory:", "off", self.clock))
        self.deps = Deps(
            store=Store(made, self.timing, ids.commit, Budget()),
            policy=policy or Policy(),
            delivery=self.delivery,
            handlers={kind: Anything(kind) for kind in kinds},
            artifacts=FolderArtifacts(tmp_path / "artifacts"),
            ids=ids,
            timing=self.timing,
            telemetry=self.telemetry,
        )
        self.dispatcher = Dispatcher(self.deps)
        self.submitter = Submitter(self.deps, self.dispatcher)
        setup.prepare(self.deps, self.dispatcher)
        for tenant, plan in (tenants or {"acme": "pro"}).items():
            setup.create_tenant(self.deps, tenant, plan)

    def caller(self, tenant: str = "acme", user: str | None = None) -> Caller:
        return Caller(credential=f"key of {tenant}", role=OWNER, tenant=tenant, user=user)

    def submit(self, tenant: str = "acme", kind: str = "command", key: str | None = None, **asked: Any) -> Answer:
        limits = asked.pop("limits", AskedLimits())
        submission = Submission(kind=kind, limits=limits, **asked)
        return self.submitter.submit(self.caller(tenant), tenant, submission, Asking(request_id="req-1"), key)

    def accepted(self, tenant: str = "acme", **asked: Any) -> Run:
        answer = self.submit(tenant, **asked)
        assert isinstance(answer, Accepted), answer
        return answer.run

    def refused(self, tenant: str = "acme", **asked: Any) -> Code:
        answer = self.submit(tenant, **asked)
        assert isinstance(answer, Refused), answer
        return answer.refusal.code

    def run(self, run: Run | str) -> Run:
        found = self.deps.store.get(Run, run if isinstance(run, str) else run.id)
        assert found is not None
        return found

    def state(self, run: Run | str) -> str:
        return str(self.run(run).state)

    def tenant(self, tenant: str = "acme") -> Tenant:
        found = self.deps.store.get(Tenant, tenant)
        assert found is not None
        return found

    def claim(self, run: Run) -> Run:
        claimed = work.claim(self.deps, run.id, self.run(run).fence, "worker-1")
        assert claimed is not None
        return claimed

    def finish(self, run: Run, outcome: Done | Failed | None = None) -> Run | None:
        """The run's attempt to its end, claimed first if need be."""
        now = self.run(run)
        claimed = now if now.state == "running" else self.claim(now)
        return work.finish(self.deps, self.dispatcher, claimed, work.Ending(outcome=outcome or Done({"ok": True})))

    def why(self, reason: str = "because") -> audit.Reason:
        return audit.Reason(id=self.deps.ids.new("aud"), actor="op", reason=reason)

    def set_tenant(self, tenant: str, **fields: Any) -> None:
        """Change fields of a tenant as a later door will: through a ledger. `cap`: as an operator's limit."""
        from headgate.flow.ledger import Ledger

        cap = fields.pop("cap", None)

        def body(tx: Any) -> None:
            ledger = Ledger.open(tx, tenant, self.deps.policy)
            ledger.tenant = replace(ledger.tenant, capped_at=tx.now, **fields)
            ledger.touched += list(ledger.tenant.parked)
            ledger.close()

        self.deps.store.transact(body, tenant)
        if cap is not None:
            self.set_limit(f"tenant:{tenant}", cap)

    def set_limit(self, scope: str, limit: int | None) -> None:
        """A limit set at run time by an operator; None = back to the policy's."""
        operator = Caller(credential="op", role=Role.OPERATOR)
        put_limit(self.deps, self.dispatcher, operator, Change(scope=scope, limit=limit), self.why())
