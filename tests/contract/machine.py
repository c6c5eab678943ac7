"""Everything that can be asked of the flows, in any order; Hypothesis looks for an order that breaks a promise."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headgate.core.access import Caller, Role
from headgate.core.errors import IdempotencyMismatch, StaleFence
from headgate.core.leases import may_retry
from headgate.core.policy import LineBounds, OnLimit, Policy, PressurePolicy
from headgate.core.run import TERMINAL, Run, RunState
from headgate.core.scopes import TENANT, full_name
from headgate.delivery.port import Message
from headgate.flow import cancel, dead_letters, fleet, invariants, limits, pause, sweep, work
from headgate.flow.submit import Accepted
from headgate.handlers.interface import Done, Failed
from headgate.store.port import Backend
from tests.support.mirror import Mirror
from tests.support.picture import Picture
from tests.support.world import Clock, World

POLICY = Policy(
    system=4,
    user=1,
    repo=1,
    org=2,
    kinds={"git": 2},
    line=LineBounds(total=14, per_tenant=9, per_user=4),
    pressure=PressurePolicy(ramp_seconds=0),  # so that at rest nobody waits who could start
)
CAPS = {"system": 4, "kind:git": 2, "kind:command": None}
PLANS = {"acme": "pro", "globex": "pro"}
SCOPES = (TENANT, "user:ada", "repo:o/a", "org:o")
KINDS = ("command", "git")
OPERATOR = Caller(credential="op", role=Role.OPERATOR)
LEAVES: dict[str, frozenset[str]] = {
    "hold": frozenset({"queued", "running"}),
    "reject": frozenset({"queued", "running"}),
    "drain": frozenset({"running"}),
    "drain_cancel": frozenset(),
}
"""Modes of a pause, and in which states it leaves runs behind."""


class Shut(NamedTuple):
    """What an operator closes. `where` = a tenant (`name` its scope), `kind` or `mode`."""

    where: str
    name: str
    mode: str = "hold"

    def concerns(self, run: Run) -> bool:
        if self.where == "mode":
            return self.name == "maintenance"
        return run.kind == self.name or (run.tenant == self.where and self.name in (TENANT, *run.scopes))

    def leaves(self) -> frozenset[str]:
        """States that runs of it may be in once it is shut."""
        return LEAVES["hold"] if self.where == "mode" else LEAVES[self.mode]


LIMITS = tuple(product(sorted(PLANS), SCOPES))

SHUTS = [
    *(Shut(tenant, scope, mode) for tenant, scope, mode in product(sorted(PLANS), SCOPES, LEAVES)),
    *(Shut("kind", kind, mode) for kind, mode in product(KINDS, LEAVES)),
    *(Shut("mode", mode) for mode in ("draining", "maintenance")),
]
OUTCOMES: dict[str, Done | Failed] = {
    "done": Done({"ok": True}),
    "failed": Failed(code="EXIT_NONZERO", message="no"),
    "again": Failed(code="HANDLER_ERROR", message="try again", retryable=True),
}

outcomes = st.sampled_from(("done", "failed", "again", "again"))
any_one = st.integers(0, 999)
ORDINARY: dict[str, Any] = {}
EXTRAS = (
    *(ORDINARY,) * 8,
    {"key": "k1"},
    {"key": "k2"},
    {"delay": 5},
    {"delay": 40},
    {"within": 20},
    {"within": 90},
    {"on_limit": OnLimit.REJECT},
    {"on_limit": OnLimit.SKIP, "concurrency_key": "c"},
    {"on_limit": OnLimit.CANCEL_IN_PROGRESS, "concurrency_key": "c"},
)
ASKED: list[dict[str, Any]] = [
    {"on_limit": OnLimit.QUEUE, "tenant": tenant, "kind": kind, "user": user, "repo": repo, "priority": level, **extra}
    for tenant, kind, user, repo, level, extra in product(
        sorted(PLANS), KINDS, (None, "ada", "bob"), (None, "o/a", "o/b", "p/c"), (0, 3, 5), EXTRAS
    )
]
"""Every submission there is, so that a step costs Hypothesis one choice."""

asked = st.sampled_from(ASKED)


@contextlib.contextmanager
def _stale() -> Iterator[None]:
    try:
        yield
    except StaleFence:
        return
    raise AssertionError("an attempt that is over was not told")


class Machine(RuleBasedStateMachine):
    """One headgate; time stands still but for the sweeps. Subclass it with the backend it stands on."""

    def open_backend(self) -> Backend:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name), POLICY, tenants=PLANS, backend=self._mirrored)
        self.deps, self.dispatcher = self.world.deps, self.world.dispatcher
        self.attempts: list[Run] = []
        """Every attempt ever claimed: workers that may still report, however late."""

    def _mirrored(self, clock: Clock) -> Backend:
        self.mirror = Mirror(self.open_backend(), clock)
        return self.mirror

    @property
    def picture(self) -> Picture:
        return self.mirror.picture

    # --- callers

    @initialize(several=st.lists(asked, min_size=6, max_size=10))
    def begin(self, several: list[dict[str, Any]]) -> None:
        for one in several:
            self._submit(one)

    @rule(first=asked, second=asked)
    def submit(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self._submit(first)
        self._submit(second)

    def _submit(self, asked: dict[str, Any]) -> None:
        now = self.world.clock.ms
        fields = {name: value for name, value in asked.items() if name not in ("delay", "within")}
        fields["not_before"] = now + asked["delay"] * 1000 if "delay" in asked else None
        fields["start_by"] = now + asked["within"] * 1000 if "within" in asked and "delay" not in asked else None
        with contextlib.suppress(IdempotencyMismatch):
            answer = self.world.submit(**fields)
            if isinstance(answer, Accepted):
                assert answer.run.id in self.picture.runs
                assert answer.replayed or answer.status == (201 if answer.run.state == "pending" else 202)

    @precondition(lambda self: self.world.delivery.messages)
    @rule(which=any_one, how=st.sampled_from(("cancel", "cancel", "dead letter")))
    def end_early(self, which: int, how: str) -> None:
        if how == "cancel":
            run = list(self.picture.runs.values())[which % len(self.picture.runs)]
            after = cancel.cancel(self.deps, self.dispatcher, self.world.caller(run.tenant), run.tenant, run.id)
            assert after.state == (run.state if run.state in TERMINAL else "cancelled")
        else:
            message = self._message(which)
            before = self.picture.runs[message.run_id]
            waited = self._waits_for(message, before)
            dead_letters.bury(self.deps, self.dispatcher, message, "")
            assert (self.picture.runs[message.run_id].state != before.state) == waited

    # --- workers, also late and doubled ones

    @rule(outcomes=st.lists(outcomes, min_size=1, max_size=3))
    def work(self, outcomes: list[str]) -> None:
        """As good workers do: the oldest pending runs from their message to their end."""
        for outcome in outcomes:
            pending = [run for run in self.picture.live() if run.state is RunState.PENDING]
            if pending:
                self.attempts.append(self.world.claim(pending[0]))
                assert self.world.finish(pending[0], OUTCOMES[outcome]) is not None

    @precondition(lambda self: self.world.delivery.messages)
    @rule(several=st.lists(any_one, min_size=1, max_size=3))
    def deliver(self, several: list[int]) -> None:
        """Messages that were ever sent; every other time one that may still be of use."""
        for message in map(self._message, several):
            before = self.picture.runs[message.run_id]
            claimed = work.claim(self.deps, message.run_id, message.fence, "worker")
            assert (claimed is not None) == self._waits_for(message, before)
            self.attempts += [claimed] if claimed is not None else []

    @precondition(lambda self: self.attempts)
    @rule(which=any_one, what=st.one_of(outcomes, st.sampled_from(("beat", "hand back"))))
    def report(self, which: int, what: str) -> None:
        """Any attempt, however late, ends or says that it lives."""
        attempt = self._attempt(which)
        before = self.picture.runs[attempt.id]
        stands = before.state is RunState.RUNNING and before.fence == attempt.fence
        if what == "beat":
            with contextlib.nullcontext() if stands else _stale():
                work.beat(self.deps, attempt, "some output\n")
        elif what == "hand back":
            assert (work.hand_back(self.deps, self.dispatcher, attempt) is not None) == stands
        else:
            after = work.finish(self.deps, self.dispatcher, attempt, work.Ending(outcome=OUTCOMES[what]))
            assert (after.state if after else None) in (self._ends(what, before) if stands else (None,))

    @staticmethod
    def _ends(outcome: str, run: Run) -> tuple[str, ...]:
        if outcome == "again" and may_retry(run):
            return "queued", "cancelled"  # cancelled under a pause that drains
        return ("completed",) if outcome == "done" else ("failed",)

    @rule(seconds=st.sampled_from((0, 3, 11, 31, 70)))
    def sweep(self, seconds: int) -> None:
        """31 seconds: every lease without a beat has run out."""
        self.world.clock.forward(seconds)
        sweep.sweep(self.deps, self.dispatcher)

    # --- operators

    @rule(what=st.sampled_from(SHUTS), seconds=st.sampled_from((None, None, 40)))
    def shut(self, what: Shut, seconds: int | None) -> None:
        """A pause of something in a tenant, a closed kind, or a mode of the system."""
        deps, dispatcher, why = self.deps, self.dispatcher, self.world.why()
        if what.where == "mode":
            fleet.set_mode(deps, dispatcher, what.name, why)
        elif what.where == "kind":
            fleet.close_kind(deps, dispatcher, what.name, what.mode, why)
        else:
            until = None if seconds is None else self.world.clock.ms + seconds * 1000
            asked = pause.Pause(scope=what.name, mode=what.mode, until=until)
            assert pause.pause(deps, dispatcher, what.where, asked, why).gates[what.name].state == "paused"
        left = {run.state for run in self.picture.live() if what.concerns(run)}
        assert left <= what.leaves(), left

    @precondition(lambda self: self._shut())
    @rule(which=any_one)
    def reopen(self, which: int) -> None:
        shut = self._shut()
        self._reopen(*shut[which % len(shut)])

    @rule(where=st.sampled_from((*CAPS, *LIMITS)), cap=st.sampled_from((0, 1, 2, 3, 6)))
    def limit(self, where: str | tuple[str, str], cap: int) -> None:
        """A wide scope's cap, a tenant's, or one of a scope inside it: up or down."""
        if isinstance(where, str):
            fleet.set_cap(self.deps, self.dispatcher, where, None if cap == 6 else cap, self.world.why())
            return
        tenant, scope = where
        asked = limits.Change(scope=full_name(tenant, scope), limit=max(1, cap) if scope == TENANT else cap)
        limits.put_limit(self.deps, self.dispatcher, OPERATOR, asked, self.world.why())

    def _shut(self) -> list[tuple[str, str]]:
        """Whatever is paused, closed or not normal: (tenant, scope), ("kind", kind), ("mode", mode)."""
        system = self.picture.controls["system"]
        gates = [(tenant.id, scope) for tenant in self.picture.tenants.values() for scope in tenant.gates]
        modes = [("mode", system.mode)] if system.mode != "normal" else []
        return [*gates, *(("kind", kind) for kind in system.closed), *modes]

    def _reopen(self, where: str, name: str) -> None:
        if where == "mode":
            fleet.set_mode(self.deps, self.dispatcher, "normal", self.world.why())
        elif where == "kind":
            fleet.open_kind(self.deps, self.dispatcher, name, self.world.why())
        else:
            assert name not in pause.resume(self.deps, self.dispatcher, where, name, self.world.why()).gates

    # --- what holds after every step

    @invariant()
    def every_promise_holds(self) -> None:
        picture, report = self.picture, invariants.check(self.deps)
        wrong = [
            *self.mirror.broken,
            *picture.half_way(),
            *picture.wide_over(),
            *(f"{run} waits although all it needs is free" for run in picture.eligible()),
            *map(str, report.violations),
            *(str(facts["error"]) for _, facts in self.world.telemetry.said if facts.get("error")),
        ]
        assert not wrong, wrong

    def teardown(self) -> None:
        """Open everything, and every run comes to its end and leaves nothing behind."""
        try:
            if not self.mirror.broken:
                self._open_everything()
                self._work_off()
                assert self.picture == Picture.of(self.deps.store)
                self.every_promise_holds()
        finally:
            self.deps.store.close()
            self.folder.cleanup()

    def _open_everything(self) -> None:
        for what, name in self._shut():
            self._reopen(what, name)
        for scope, cap in CAPS.items():
            fleet.set_cap(self.deps, self.dispatcher, scope, cap, self.world.why())
        for tenant in PLANS:
            self.world.set_tenant(tenant, cap=5, limits={}, overrides={})
        self.dispatcher.dispatch()

    def _work_off(self) -> None:
        for _ in range(60):
            if not self.picture.live():
                break
            self.sweep(70)
            for run in [run for run in self.picture.live() if run.state is RunState.PENDING]:
                self.world.finish(run)
        assert self.picture.live() == []
        assert [holder for tenant in self.picture.tenants.values() for holder in tenant.holders] == []
        assert [holder for shard in self.picture.shards.values() for holder in shard.holders] == []

    # --- which one

    def _message(self, which: int) -> Message:
        messages = self.world.delivery.messages
        useful = [one for one in messages if self._waits_for(one, self.picture.runs[one.run_id])]
        some = useful if useful and which % 2 else messages
        return some[which % len(some)]

    def _attempt(self, which: int) -> Run:
        """One in three was overtaken by a later attempt of its run, one in three has a run under way, if there are such."""
        running = [one for one in self.attempts if self.picture.runs[one.id].state is RunState.RUNNING]
        overtaken = [one for one in running if one.fence != self.picture.runs[one.id].fence]
        some = (overtaken, running, self.attempts)[which % 3] or self.attempts
        return some[which % len(some)]

    def _waits_for(self, message: Message, run: Run) -> bool:
        return run.state is RunState.PENDING and run.fence == message.fence
