"""The books of one tenant within one commit: every slot, place in line and lane changes through these verbs.

A commit opens the ledger (reads the tenant before anything else of it), applies verbs, and closes it (wakes lanes,
computes offers and turn, writes the tenant). The tenant's version is the lock; see ARCHITECTURE.md, "Three rules".
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from headgate.core import lane as lanes
from headgate.core import pace, repositories, wide
from headgate.core import tenant as tenants
from headgate.core.errors import NotFound
from headgate.core.lane import Lane, LaneState
from headgate.core.leases import publish_wait_ms
from headgate.core.lifecycle import Change, advance
from headgate.core.line import lane_after, lane_woken, line_key, stands_in_line
from headgate.core.policy import Policy
from headgate.core.run import TERMINAL, Run, RunState, ShardsHeld
from headgate.core.scopes import LINE, SYSTEM, TENANT
from headgate.core.tenant import Holder, Tenant
from headgate.core.wide import Control, Shard
from headgate.flow import brakes
from headgate.store.documents import EventChunk, UserLine, where
from headgate.store.transaction import Torn, Tx

EVENTS_IN_RUN = 32
RECEIPTS_IN_RUN = 4
LOOK = 256
"""So many lanes are looked at for one that needs no scope which is to be gone round now."""
DAY_MS = 24 * 3600 * 1000


class WideSlots(NamedTuple):
    """The two shards in which a run takes its wide slots."""

    system: Shard
    kind: Shard


class Ledger:
    """One tenant, one commit."""

    def __init__(self, tx: Tx, tenant: Tenant, policy: Policy) -> None:
        self.tx = tx
        self.policy = policy
        self.tenant = _as_of(tenant, tx.now)
        self.touched: list[str] = []
        self.settling: set[str] = set()
        self._offered = tenant.offers

    @classmethod
    def open(cls, tx: Tx, tenant_id: str, policy: Policy) -> Ledger:
        """Read the tenant, before anything else of it. Raises NotFound."""
        tenant = tx.get(Tenant, tenant_id)
        if tenant is None:
            raise NotFound(f"There is no tenant {tenant_id!r}.")
        return cls(tx, tenant, policy)

    def close(self) -> None:
        """Wake what can be woken, compute what follows, write the tenant. The last step of every commit of a tenant."""
        self._wake()
        after = tenants.refreshed(self.tenant)
        if set(after.offers) - set(self._offered):
            after = tenants.refreshed(tenants.lifted(after, self._virtual_time()))
        self.tenant = after
        self.tx.put(after)

    def catch_up(self, virtual_time: float) -> None:
        """A tenant that is admitted directly starts at the fleet's virtual time."""
        self.tenant = tenants.lifted(self.tenant, virtual_time)

    def forgive(self) -> None:
        """The fleet's virtual time for a tenant that a full or closed kind has kept waiting: that saves up no credit."""
        self.catch_up(self._virtual_time())

    # --- slots

    def take(self, run: Run, slots: WideSlots) -> Run:
        """A slot in every scope of the run, or (the commit fails) in none. The run as it holds them."""
        now = self.tx.now
        holder = Holder(since=now, expected=self.policy.execution.expected_seconds, kind=run.kind, scopes=run.scopes)
        self.tenant = tenants.take(self.tenant, run.id, holder)
        self._note_repository(run)
        clock = max(slots.system.v, self.tenant.served)
        self.tx.put(replace(wide.taken(slots.system, run.id, now), v=clock))
        self.tx.put(wide.taken(slots.kind, run.id, now))
        self._book(run, slots.system)
        due = now + publish_wait_ms(1, self.policy.execution)
        shards = ShardsHeld(system=slots.system.id, kind=slots.kind.id)
        return replace(run, shards=shards, publish_due=due, publishes=1, holding_since=now)

    def _book(self, run: Run, system: Shard) -> None:
        """While starts are paced, the moment of the next one stands in the commit of this one."""
        now, pressure = self.tx.now, self.policy.pressure
        for scope, per_second in brakes.paced(system, run.kind, now, pressure):
            control = self.tx.get(Control, scope)
            if control is not None:
                self.tx.put(replace(control, next_start=pace.booked(control.next_start, now, per_second)))
        self.tenant = brakes.booked(self.tenant, (TENANT, *run.scopes), now, pressure)

    def give(self, run: Run) -> None:
        """Every slot of the run back: idempotent, and only ever in the commit that changes the run."""
        self.tenant = tenants.give(self.tenant, run.id, self.tx.now)
        held = [shard for shard in (run.shards.system, run.shards.kind) if shard is not None]
        self.tx.prefetch(*((Shard, shard) for shard in held))
        for name in held:
            shard = self.tx.get(Shard, name)
            if shard is None:
                raise Torn(f"shard {name} of run {run.id} is gone")
            self.tx.put(wide.given(shard, run.id))
            if shard.settle:
                self.settling.add(shard.scope)
        self.touched += run.scopes

    # --- the line

    def join_line(self, run: Run, line: Shard) -> Run:
        """The run counted as waiting: in its user, in the line's shard, in the tenant; in its lane unless delayed."""
        self.tx.put(wide.joined(line))
        self._count_user(run, +1)
        self.tenant = replace(self.tenant, waiting=self.tenant.waiting + 1)
        self._note_repository(run)
        run = replace(run, shards=ShardsHeld(line=line.id))
        return run if run.delayed else self.enter_lane(run)

    def leave_line(self, run: Run) -> None:
        """The run no longer waits. Its lane is left apart: `leave_lane`, or the promotion that knows the next head."""
        if run.shards.line is not None:
            shard = self.tx.get(Shard, run.shards.line)
            if shard is None:
                raise Torn(f"shard {run.shards.line} of run {run.id} is gone")
            self.tx.put(wide.left(shard, run.id))
            if shard.settle:
                self.settling.add(shard.scope)
        self._count_user(run, -1)
        self.tenant = replace(self.tenant, waiting=self.tenant.waiting - 1)

    def enter_lane(self, run: Run) -> Run:
        """The run in its lane, by a key fixed now unless it has one."""
        if not run.key:
            self.tenant = replace(self.tenant, seq=self.tenant.seq + 1)
            queued_at = run.queued_at or self.tx.now
            key = line_key(run.priority, queued_at, run.not_before, self.tenant.seq, self.policy.ageing_seconds)
            run = replace(run, key=key)
        lane = self.tx.get(Lane, run.lane)
        head = run.key if lane is None or lane.head is None else min(lane.head, run.key)
        self.set_lane(lane or lanes.new_lane(run), head)
        return run

    def leave_lane(self, run: Run) -> None:
        """The run out of its lane; the next of the lane becomes its head."""
        lane = self.tx.get(Lane, run.lane)
        if lane is None or run.delayed:
            return
        rest = [other for other in self.first_of(run.lane, 2) if other.id != run.id]
        self.set_lane(lane, rest[0].key if rest else None)

    def set_lane(self, lane: Lane, head: int | None) -> Lane:
        """The lane with a new head, and the tenant's counts with it."""
        after = lane_after(self.tenant, lane, head)
        if lane.state is LaneState.READY and after.state is not LaneState.READY:
            self.touched += lane.scopes  # it was the one awake over them: somebody else must be
        return self._move(lane, after)

    def first_of(self, lane: str, count: int) -> list[Run]:
        """The first runs of a lane, in order."""
        conditions = (("lane", "==", lane), ("state", "==", "queued"), ("delayed", "==", False))
        found = self.tx.hint(Run, where(Run, *conditions, order=("key",), limit=count))
        if any(run.lane != lane or not stands_in_line(run) for run in found):
            raise Torn(f"a run of lane {lane} moved while it was found")
        return found

    def wake_beside(self, lane: Lane, shunned: frozenset[str]) -> bool:
        """`lane` is awake and may not start now, because of `shunned` scopes: whoever sleeps on a scope of it with room,
        and needs none of them, would sleep for nothing. Of each kind the first wakes; whether any did."""
        before = self.tenant
        for scope in tenants.freed_scopes(self.tenant, lane.scopes):
            for kind in sorted(self.tenant.parked.get(scope, {})):
                self._wake_one(scope, kind, shunned)
        return self.tenant is not before

    def line_shard(self, chance: float, bound: bool) -> Shard | None:
        """A shard of the line with a free place; without one None, or any shard if the run cannot be refused."""
        free = free_shard(self.tx, LINE, chance)
        if free is not None or bound:
            return free
        return any_shard(self.tx, LINE, chance)

    # --- a run's changes that move slots or places

    def put_back(self, run: Run, change: Change, chance: float, **facts: Any) -> Run:
        """retry, revoke, hand back, give up for input: slots back, in line again (never refused), a new fence.

        Who had started has met its start deadline and gets another, or a pause without end would keep it for ever.
        """
        self.give(run)
        deadline = run.start_by or self.tx.now + round(1000 * self.policy.execution.start_deadline_seconds)
        after = advance(run, change, self.tx.now, shards=ShardsHeld(), start_by=deadline, **facts)
        line = self.line_shard(chance, bound=False)
        if line is None:
            raise Torn("the line has no shards")
        if after.delayed:
            after = replace(after, key=0)  # it joins its lane later, by the moment it was due
        after = self.join_line(after, line)
        self.put_run(after)
        return after

    def end(self, run: Run, change: Change, to: RunState | None = None, **facts: Any) -> Run:
        """finish, cancel, expire, dead letter: the run's last change; whatever it held or wherever it stood is freed."""
        if run.state is RunState.QUEUED:
            self.leave_lane(run)
            self.leave_line(run)
            self.touched += run.scopes
        else:
            self.give(run)
        after = advance(run, change, self.tx.now, to, **facts)
        self.put_run(after)
        return after

    def uncount(self, run: Run) -> None:
        """The run no longer counts among those of its month; of a month that is over nothing is counted any more."""
        if self.tenant.month == _month(run.created_at):
            self.tenant = replace(self.tenant, month_runs=self.tenant.month_runs - 1)

    def put_run(self, run: Run) -> None:
        """Write a run: bounded history, retention once it has ended."""
        if run.state in TERMINAL and run.expire_at is None:
            run = replace(run, expire_at=self.tx.now + self.policy.retention.runs * DAY_MS)
        put_run(self.tx, run, self.policy)

    # --- inside

    def _wake(self) -> None:
        """Each touched scope with room wakes, per kind, its least parked lane. One a kind a commit; no loop.

        Hence always: room in X and lanes of kind k parked on X mean that a ready lane of kind k needs X.
        """
        for scope in dict.fromkeys(tenants.freed_scopes(self.tenant, self.touched)):
            for kind in sorted(self.tenant.parked.get(scope, {})):
                self._wake_one(scope, kind)

    def _wake_one(self, scope: str, kind: str, shunned: frozenset[str] = frozenset()) -> None:
        conditions = (("tenant", "==", self.tenant.id), ("state", "==", "parked"), ("on", "==", scope))
        limit = LOOK if shunned else 1
        found = self.tx.hint(Lane, where(Lane, *conditions, ("kind", "==", kind), order=("head",), limit=limit))
        if any(lane.state is not LaneState.PARKED or lane.on != scope for lane in found):
            raise Torn(f"a lane parked on {scope} moved while it was found")
        for lane in [lane for lane in found if shunned.isdisjoint(lane.scopes)][:1]:
            self._move(lane, lane_woken(lane))

    def _move(self, before: Lane, after: Lane) -> Lane:
        self.tenant = tenants.lane_moved(self.tenant, before, after)
        self.tx.create(after) if self.tx.peek(Lane, after.id) is None else self.tx.put(after)
        return after

    def _note_repository(self, run: Run) -> None:
        """Where the plan limits repositories: this one is used now, or when the run is due."""
        if run.repo is not None and self.policy.plan(self.tenant.plan).repositories is not None:
            moment = max(self.tx.now, run.not_before or 0)
            self.tenant = replace(self.tenant, repos=repositories.noted(self.tenant.repos, run.repo, moment))

    def _count_user(self, run: Run, step: int) -> None:
        if run.user is None:
            return
        line = self.user_line(run.user)
        self.tx.put(replace(line, waiting=line.waiting + step))

    def user_line(self, user: str) -> UserLine:
        """How many runs of the user wait."""
        id = "user_" + sha256(f"{len(self.tenant.id)}:{self.tenant.id}{user}".encode()).hexdigest()[:24]
        return self.tx.get(UserLine, id) or UserLine(id=id, tenant=self.tenant.id, user=user)

    def _virtual_time(self) -> float:
        found = self.tx.glimpse(Shard, where(Shard, ("scope", "==", SYSTEM), order=("-v",), limit=1))
        return found[0].v if found else 0.0


def _as_of(tenant: Tenant, now: int) -> Tenant:
    """The tenant without what time has taken away: last month's runs, repositories not used for 30 days."""
    month = _month(now)
    if tenant.month != month:
        tenant = replace(tenant, month=month, month_runs=0)
    return replace(tenant, repos=repositories.in_use(tenant.repos, now)) if tenant.repos else tenant


def _month(now: int) -> str:
    return datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m")


def put_run(tx: Tx, run: Run, policy: Policy) -> None:
    """Write a run whose events and receipts are bounded: older events move to a chunk of their own in the same commit."""
    if len(run.events) > EVENTS_IN_RUN:
        old, recent = run.events[: EVENTS_IN_RUN // 2], run.events[EVENTS_IN_RUN // 2 :]
        chunk = EventChunk(
            id=f"{run.id}~{old[0].seq:08d}",
            run=run.id,
            seq=old[0].seq,
            events=tuple({"seq": e.seq, "at": e.at, "type": e.type, "data": e.data} for e in old),
            expire_at=tx.now + policy.retention.events * DAY_MS,
        )
        tx.create(chunk)
        run = replace(run, events=recent)
    if len(run.receipts) > RECEIPTS_IN_RUN:
        run = replace(run, receipts=(run.receipts[0], *run.receipts[1 - RECEIPTS_IN_RUN :]))
    tx.put(run)


def free_shard(tx: Tx, scope: str, chance: float) -> Shard | None:
    """A shard with a free slot, found from a random place on; None means that the scope is full."""
    for bound in (("rnd", ">=", chance), ("rnd", "<", chance)):
        query = where(Shard, ("scope", "==", scope), ("free", "==", True), bound, order=("rnd",), limit=1)
        found = tx.hint(Shard, query)
        if found:
            if wide.full(found[0]):
                raise Torn(f"shard {found[0].id} filled up while it was found")
            return found[0]
    return None


def any_shard(tx: Tx, scope: str, chance: float) -> Shard | None:
    """Some shard, free or not: for what every shard of the scope carries alike."""
    for bound in (("rnd", ">=", chance), ("rnd", "<", chance)):
        found = tx.hint(Shard, where(Shard, ("scope", "==", scope), bound, order=("rnd",), limit=1))
        if found:
            return found[0]
    return None
