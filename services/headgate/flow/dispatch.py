"""Dispatch: give free slots to who is next. The cycle, on one page:

1. the tenant with the least turn among those that offer a kind outside `out` and do not rest; none: done
2. a free system shard, and a mode that starts runs; none: done. Its closed kinds join `out`
3. that tenant's ready lane (of a kind outside `out`) with the least head
4. blocked inside the tenant after all: park the lane, repeat
5. a free kind shard; none: the kind joins `out`, repeat
6. a brake (flow.brakes): what it holds back rests for this pass (a tenant, a kind, or all: done), repeat
7. the first two runs of the lane: promote one, the other is the new head; commit, publish, repeat

`out` starts empty in every pass. Blocked lanes are parked and not seen again until a slot they need is freed, so a
pass costs what it starts, however long the line is. If this process dies between commit and publish, the run is
`pending` with its publish due: the sweep publishes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from headgate.core import admission
from headgate.core.errors import Unavailable
from headgate.core.lane import Lane
from headgate.core.lifecycle import Change, advance
from headgate.core.run import Run
from headgate.core.scopes import SYSTEM, TENANT, kind_scope
from headgate.core.tenant import Tenant, blocked
from headgate.core.wide import Control
from headgate.delivery.port import DeliveryDown, Message
from headgate.flow.brakes import Hold, Shunned, held, paused_for, short_of_memory, shunned
from headgate.flow.broker import BrokerHealth
from headgate.flow.deps import Asking, Deps
from headgate.flow.ledger import LOOK, Ledger, WideSlots, free_shard
from headgate.flow.receipts import Facts, next_receipt_id, receipt_of, with_receipt
from headgate.store.documents import where
from headgate.store.transaction import Hint, Tx

PUBLISH_TIMEOUT = 2.0
MOST_STALE = 50


class Step(Enum):
    """What one step of a pass came to."""

    PROMOTED = auto()
    PARKED = auto()
    STALE = auto()
    KIND_FULL = auto()
    KINDS_CLOSED = auto()
    HELD = auto()
    """A brake holds the tenant back, or (the repository that has half of the system) its next lanes."""
    SYSTEM_FULL = auto()


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step, with the run it promoted or the kinds it found full or closed."""

    step: Step
    run: Run | None = None
    kinds: frozenset[str] = frozenset()
    hold: Hold | None = None
    halved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rests:
    """What a pass goes round: kinds that are full, closed or held, tenants that a brake holds. `halved` = some lane was
    left out only because its repository has half of the system."""

    kinds: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    halved: bool = False
    over: bool = False

    def after(self, stepped: Stepped, tenant: str) -> Rests:
        """With what a step of that tenant has found."""
        hold, kinds = stepped.hold, self.kinds | stepped.kinds
        if stepped.step is Step.SYSTEM_FULL or (hold is not None and hold.scope == SYSTEM):
            return replace(self, kinds=kinds, over=True)
        if stepped.step is not Step.HELD:
            return replace(self, kinds=kinds)
        if hold is not None and hold.scope != TENANT:
            return replace(self, kinds=kinds | {hold.scope.partition(":")[2]})
        return replace(self, tenants=self.tenants | {tenant}, halved=self.halved or stepped.halved)


class Dispatcher:
    """One process's dispatcher: single-flight. A kick while it runs is never dropped, it makes it run again."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self.broker = BrokerHealth(deps)
        self._lock = threading.Lock()
        self._busy = False
        self._again = False
        self._cap: tuple[float, int | None] | None = None
        self.out: frozenset[str] = frozenset()
        """Kinds that the last pass found full or closed: their waiters cannot start, so nobody barges past them."""

    def dispatch(self) -> dict[str, Run]:
        """Start what can start now. The runs this call promoted; another thread's pass may have promoted more."""
        promoted: dict[str, Run] = {}
        with self._lock:
            if self._busy:
                self._again = True
                return promoted
            self._busy = True
        broker_up = True
        try:
            while True:
                self._again = False
                broker_up = self._pass(promoted, broker_up)
                if self._done():
                    return promoted
        except Unavailable as down:
            # Whoever kicked has its own answer already; the next kick or the sweep goes on from here.
            self._deps.telemetry.warning("dispatch.unavailable", reason=str(down.code), detail=down.detail)
            self._release()
            return promoted
        except BaseException:
            self._release()
            raise

    def _done(self) -> bool:
        """Whether nobody has kicked since the pass began; then, in the same moment, the place is free again."""
        with self._lock:
            self._busy = self._again
            return not self._again

    def _release(self) -> None:
        with self._lock:
            self._busy = False

    def publish(self, run: Run) -> bool:
        """Hand a pending run to delivery; whether it was taken. If not, the sweep publishes it once it is overdue."""
        attributes = {**run.trace, "tenant": run.tenant, "kind": run.kind}
        if run.request_id is not None:
            attributes["requestId"] = run.request_id
        try:
            self._deps.delivery.publish(Message(run_id=run.id, fence=run.fence, attributes=attributes), PUBLISH_TIMEOUT)
        except DeliveryDown as down:
            self._deps.telemetry.warning("run.publish_failed", run_id=run.id, detail=str(down))
            self._deps.alarm.arm(self._deps.policy.execution.publish_grace_seconds + 1)
            self.broker.failed()
            return False
        self.broker.taken()
        return True

    def _pass(self, promoted: dict[str, Run], broker_up: bool) -> bool:
        """Start what can start; whether the broker still takes messages. Who kicked waits for one dead publish, not for
        one a run: what follows it is left to the sweep."""
        rests, stale, halves, ahead = Rests(), 0, True, list[Hint]()
        limited = self.out
        try:
            while not rests.over:
                next_up, rests = self._next_tenant(rests, ahead)
                if next_up is None:
                    if not rests.halved:
                        break
                    rests, halves = Rests(), False  # nobody else could start: half of the system is no bound then
                    continue
                cap = self._system_cap if halves else _no_cap
                turn = _Turn(self._deps, next_up, rests.kinds, cap, limited)
                stepped = self._deps.store.transact(turn.body, next_up.value.id)
                rests = rests.after(stepped, next_up.value.id)
                self._wake_up_for(stepped.hold)
                if stepped.step is not Step.HELD:
                    ahead.clear()  # whose turn it is may have changed
                stale = stale + 1 if stepped.step is Step.STALE else 0
                if self._stuck(stale, next_up.value.id):
                    break
                if stepped.run is not None:
                    promoted[stepped.run.id] = stepped.run
                    self._deps.changes.announce(stepped.run.id)
                    self._deps.telemetry.info("run.promoted", run_id=stepped.run.id, tenant=stepped.run.tenant)
                    broker_up = broker_up and self.publish(stepped.run)
        finally:
            self.out = rests.kinds
        return broker_up

    def _wake_up_for(self, hold: Hold | None) -> None:
        if hold is not None:
            self._deps.alarm.arm(max(0, hold.until - self._deps.store.now()) / 1000)

    def _system_cap(self) -> int | None:
        """The system's cap, perhaps a second old: half of it is a rule of fairness, not of safety."""
        now = self._deps.timing.monotonic()
        if self._cap is None or now - self._cap[0] >= 1.0:
            control = self._deps.store.get(Control, SYSTEM)
            self._cap = (now, control.cap if control else None)
        return self._cap[1]

    def _stuck(self, stale: int, tenant: str) -> bool:
        """Whether a tenant offers what cannot be found, again and again: a broken document must not spin for ever."""
        if stale < MOST_STALE:
            return False
        self._deps.telemetry.error("dispatch.stuck", tenant=tenant, remedy="run `headgate audit`")
        return True

    def _next_tenant(self, rests: Rests, ahead: list[Hint]) -> tuple[Hint | None, Rests]:
        """Whose turn it is, and what rests then: tenants that take up again and must wait are passed over here. `ahead` =
        those that were read already; pages grow, so that many who rest cost as many reads, not their square."""
        while True:
            while ahead:
                hint = ahead.pop(0)
                if hint.value.id not in rests.tenants and not self._waits(hint.value):
                    return hint, rests
                rests = replace(rests, tenants=rests.tenants | {hint.value.id})
            kinds = [kind for kind in self._deps.kinds if kind not in rests.kinds]
            limit = 1 + 2 * len(rests.tenants)
            query = where(Tenant, ("offers", "array_contains_any", kinds), order=("turn",), limit=limit)
            found = self._deps.store.hints(Tenant, query) if kinds else []
            ahead += [hint for hint in found if hint.value.id not in rests.tenants]
            if not ahead:
                return None, rests

    def _waits(self, tenant: Tenant) -> bool:
        """Whether it takes up again and its next start is yet to come; we wake up for it."""
        if TENANT not in tenant.ramps:
            return False
        hold = paused_for(tenant, (TENANT,), self._deps.store.now(), self._deps.policy.pressure)
        self._wake_up_for(hold)
        return hold is not None


def _no_cap() -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class _Turn:
    """One tenant's turn, as a transaction's body."""

    deps: Deps
    hint: Hint
    out: frozenset[str]
    system_cap: Callable[[], int | None]
    limited: frozenset[str]
    """Kinds that the pass before found full or closed: who starts in one was kept waiting by it."""

    def body(self, tx: Tx) -> Stepped:
        """Steps 2 to 6. What it finds stale it leaves alone: the pass looks again."""
        tenant = tx.adopt(Tenant, self.hint)
        if tenant is None or not set(tenant.offers) - self.out:
            return Stepped(Step.STALE)
        chance = self.deps.timing.random()
        system = free_shard(tx, SYSTEM, chance)
        if system is None or system.mode == "maintenance":
            return Stepped(Step.SYSTEM_FULL)
        if set(system.closed) - self.out:
            return Stepped(Step.KINDS_CLOSED, kinds=frozenset(system.closed))
        around = self._shunned(tenant, tx.now)
        found = self._ready_lanes(tx, tenant, around)
        if not found:
            return Stepped(Step.STALE)
        lane = next((lane for lane in found if around.scopes.isdisjoint(lane.scopes)), None)
        ledger = Ledger(tx, tenant, self.deps.policy)
        if lane is None:
            return self._go_round(ledger, found, around)
        if blocked(tenant, lane.scopes) is not None:
            return self._park(ledger, lane)
        kind = free_shard(tx, kind_scope(lane.kind), chance)
        if kind is None:
            return Stepped(Step.KIND_FULL, kinds=frozenset({lane.kind}))
        hold = held(tx, self.deps, tenant, system, lane.kind)
        if hold is not None:
            return Stepped(Step.HELD, hold=hold)
        return self._promote(ledger, lane, WideSlots(system, kind))

    def _go_round(self, ledger: Ledger, lanes: list[Lane], around: Shunned) -> Stepped:
        """Only lanes that may not start now are awake: others that sleep beside them may start instead."""
        if not any(ledger.wake_beside(lane, around.scopes) for lane in lanes):
            return Stepped(Step.HELD, hold=around.hold, halved=around.half)
        ledger.close()
        return Stepped(Step.PARKED)

    def _shunned(self, tenant: Tenant, now: int) -> Shunned:
        repos = any(scope.startswith("repo:") for holder in tenant.holders.values() for scope in holder.scopes)
        return shunned(tenant, now, self.deps.policy.pressure, self.system_cap() if repos else None)

    def _ready_lanes(self, tx: Tx, tenant: Tenant, around: Shunned) -> list[Lane]:
        """The first in line; beside scopes that are to be gone round, the first few."""
        kinds = [kind for kind in tenant.offers if kind not in self.out]
        conditions = (("tenant", "==", tenant.id), ("state", "==", "ready"), ("kind", "in", kinds))
        return tx.hint(Lane, where(Lane, *conditions, order=("head",), limit=LOOK if around.scopes else 1))

    def _park(self, ledger: Ledger, lane: Lane) -> Stepped:
        ledger.set_lane(lane, lane.head)
        ledger.close()
        return Stepped(Step.PARKED)

    def _promote(self, ledger: Ledger, lane: Lane, slots: WideSlots) -> Stepped:
        runs = ledger.first_of(lane.id, 2)
        if not runs:
            return Stepped(Step.STALE)
        run, rest = runs[0], runs[1:]
        hold = short_of_memory(self.deps, run.limits.memory_bytes, ledger.tx.now)
        if hold is not None:
            return Stepped(Step.HELD, hold=hold)
        if lane.kind in self.limited:
            ledger.forgive()
        receipt = self._receipt(ledger, run, slots)
        ledger.leave_line(run)
        run = advance(ledger.take(run, slots), Change.PROMOTE, ledger.tx.now)
        run = with_receipt(run, receipt)
        ledger.put_run(run)
        ledger.set_lane(lane, rest[0].key if rest else None)
        ledger.close()
        return Stepped(Step.PROMOTED, run)

    def _receipt(self, ledger: Ledger, run: Run, slots: WideSlots) -> dict[str, object]:
        wide = admission.WideView(mode=slots.system.mode)
        facts = Facts(
            request=admission.Request(run=run),
            view=admission.View(tenant=ledger.tenant, wide=wide),
            decision=admission.Admit(),
            at=ledger.tx.now,
            asking=Asking(request_id=run.request_id),
        )
        return dict(receipt_of(facts, next_receipt_id(run), self.deps.policy))
