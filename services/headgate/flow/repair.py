"""Repair: put right what the checker found, as far as the runs themselves say what is right.

The runs are the truth; holders, counts and lanes follow from them. Each tenant is mended in one commit of its own,
under its lock and an audit record; a stray holder of a wide shard in one commit of that shard; a wide scope that is not
dealt out as its cap says is closed first and dealt anew at the end. Whoever dies in the
middle leaves some mended and some not: the next repair goes on. What a run itself got wrong is only reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from headgate.core import lane as lanes
from headgate.core import tenant as tenants
from headgate.core import wide
from headgate.core.lane import Lane, LaneState
from headgate.core.line import lane_after, stands_in_line
from headgate.core.run import LIVE, Run, RunState
from headgate.core.scopes import LINE, SYSTEM
from headgate.core.tenant import Holder, Tenant, with_policy
from headgate.core.wide import Control, Shard
from headgate.flow import audit
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.fleet import CONTROL_KEY, deal_all
from headgate.flow.invariants import Books, places, tenant_violations
from headgate.flow.invariants.slots import undealt
from headgate.flow.ledger import Ledger, any_shard
from headgate.store.documents import UserLine, where
from headgate.store.transaction import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One commit that put something right: of what, what it did, and the audit record that says so."""

    receipt: str
    subject: str
    done: tuple[str, ...]


def repair(deps: Deps, dispatcher: Dispatcher, why: audit.Reason) -> tuple[Repair, ...]:
    """Mend every tenant and every wide scope; nothing is written where nothing is wrong. `why.id` is not used:
    each commit has an audit record of its own. Ends with a dispatch, for what may start now."""
    repaired: list[Repair] = []
    settling: set[str] = set()
    for control in deps.store.query(Control, where(Control)):
        closing = _Closing(deps, control.id, replace(why, id=deps.ids.new("aud")))
        closed = deps.store.transact(closing.body, CONTROL_KEY)
        repaired += closed
        settling |= {control.id} if closed else set()
    for shard in deps.store.every(Shard):
        for run_id in shard.holders:
            stray = _Stray(deps, shard, run_id, replace(why, id=deps.ids.new("aud")))
            if stray.suspected():
                repaired += deps.store.transact(stray.body, f"shard:{shard.id}")
                settling.add(shard.scope)
    for tenant in deps.store.every(Tenant):
        mending = _Mending(deps, tenant.id, replace(why, id=deps.ids.new("aud")))
        repaired += deps.store.transact(mending.body, tenant.id)
    for shard in deps.store.every(Shard, ("scope", "==", LINE)):
        counting = _Counting(deps, shard.id, replace(why, id=deps.ids.new("aud")))
        repaired += deps.store.transact(counting.body, f"shard:{shard.id}")
    deal_all(deps, settling)
    dispatcher.dispatch()
    for one in repaired:
        deps.telemetry.warning("books.repaired", subject=one.subject, done=list(one.done), audit=one.receipt)
    return tuple(repaired)


@dataclass(frozen=True, slots=True)
class _Closing:
    """A wide scope that is not dealt out as its cap says: it is closed here, and dealt anew once all else is mended."""

    deps: Deps
    scope: str
    why: audit.Reason

    def body(self, tx: Tx) -> tuple[Repair, ...]:
        """Close it and all its shards, as a change of its cap does; nothing is written when nothing was wrong."""
        control = tx.get(Control, self.scope)
        shards = tx.hint(Shard, where(Shard, ("scope", "==", self.scope), order=("index",)))
        found = () if control is None else tuple(undealt(control, shards))
        if control is None or not found:
            return ()
        after, closed = wide.closed(control, shards)
        tx.put(after)
        known = {shard.id for shard in shards}
        for shard in closed:
            tx.put(shard) if shard.id in known else tx.create(shard)
        audit.record(tx, self.why, "books.repaired", self.scope, {"wrong": found}, {"cap": after.cap})
        done = tuple(f"dealt anew: {detail}" for detail in found)
        return (Repair(receipt=self.why.id, subject=self.scope, done=done),)


@dataclass(frozen=True, slots=True)
class _Stray:
    """A run in a shard where it should not stand: it has ended, is not there, or stands in another."""

    deps: Deps
    shard: Shard
    run_id: str
    why: audit.Reason

    def suspected(self) -> bool:
        """A first look; the commit looks again."""
        return not _stands(self.deps.store.get(Run, self.run_id), self.shard.id)

    def body(self, tx: Tx) -> tuple[Repair, ...]:
        """Run and shard are verified together: whoever takes or gives this slot writes both."""
        shard, run = tx.get(Shard, self.shard.id), tx.get(Run, self.run_id)
        if shard is None or self.run_id not in shard.holders or _stands(run, shard.id):
            return ()
        after = wide.given(shard, self.run_id)
        tx.put(after)
        tenant = run.tenant if run is not None else None
        done = (f"dropped leaked holder {self.run_id}",)
        before = {"holders": sorted(shard.holders)}
        audit.record(tx, self.why, "books.repaired", shard.id, before, {"holders": sorted(after.holders)}, tenant)
        return (Repair(receipt=self.why.id, subject=shard.id, done=done),)


@dataclass(frozen=True, slots=True)
class _Counting:
    """A shard of the line: as many wait in it as name it. Whoever joins or leaves it writes it, so the count holds."""

    deps: Deps
    shard_id: str
    why: audit.Reason

    def body(self, tx: Tx) -> tuple[Repair, ...]:
        """Count anew; nothing is written when it was right."""
        shard = tx.get(Shard, self.shard_id)
        if shard is None:
            return ()
        queued = tx.hint(Run, where(Run, ("state", "==", "queued")))
        waiting, before = sum(run.shards.line == shard.id for run in queued), wide.used(shard)
        if waiting == before:
            return ()
        tx.put(wide.recounted(shard, waiting))
        audit.record(tx, self.why, "books.repaired", shard.id, {"waiting": before}, {"waiting": waiting})
        return (Repair(receipt=self.why.id, subject=shard.id, done=(f"waiting {before} → {waiting}",)),)


def _stands(run: Run | None, shard_id: str) -> bool:
    """Whether the run should stand in that shard."""
    return run is not None and shard_id in [name for _, name in places(run)]


@dataclass(frozen=True, slots=True)
class _Mending:
    """One tenant, one commit. Reading the tenant first makes the queries after it as good as verified."""

    deps: Deps
    tenant_id: str
    why: audit.Reason

    def body(self, tx: Tx) -> tuple[Repair, ...]:
        """Everything of the tenant that follows from its runs, computed anew where it differs."""
        ledger = Ledger.open(tx, self.tenant_id, self.deps.policy)
        before = ledger.tenant
        done = list(_caps(ledger))
        books = self._books(tx, ledger.tenant)
        done += [note for run in books.live for note in self._in_its_shards(ledger, run)]
        if any(tenant_violations(books)):
            done += [*_turn(ledger), *_holders(ledger, books), *_waiting(ledger, books), *_lanes(ledger, books)]
        if not done:
            return ()
        audit.record(
            tx, self.why, "books.repaired", f"tenant:{self.tenant_id}", _visible(before), _visible(ledger.tenant),
            self.tenant_id,
        )  # fmt: skip
        ledger.close()
        return (Repair(receipt=self.why.id, subject=f"tenant:{self.tenant_id}", done=tuple(done)),)

    def _books(self, tx: Tx, tenant: Tenant) -> Books:
        of_it = ("tenant", "==", tenant.id)
        live = [run for state in sorted(LIVE) for run in tx.hint(Run, where(Run, of_it, ("state", "==", state)))]
        return Books(
            tenants={tenant.id: tenant},
            live=live,
            lanes=tx.hint(Lane, where(Lane, of_it)),
            controls={},
            shards=[],
            users=tx.hint(UserLine, where(UserLine, of_it)),
        )

    def _in_its_shards(self, ledger: Ledger, run: Run) -> Iterator[str]:
        """A live run stands in the shards that it names; one whose shard is lost gets another."""
        for scope, name in places(run):
            shard = ledger.tx.peek(Shard, name) if name is not None else None
            if shard is None:
                shard = any_shard(ledger.tx, scope, ledger.tx.chance)
                if shard is None:
                    continue  # the scope itself is not there: a start makes it, then the next repair goes on
                slot = {SYSTEM: "system", LINE: "line"}.get(scope, "kind")
                run = replace(run, shards=replace(run.shards, **{slot: shard.id}))
                ledger.put_run(run)
                if scope == LINE:
                    ledger.tx.put(wide.joined(shard))
                    yield f"put {run.id} back into {shard.id}"
            if scope != LINE and run.id not in shard.holders:
                ledger.tx.put(wide.taken(shard, run.id, run.holding_since or ledger.tx.now))
                yield f"put {run.id} back into {shard.id}"


def _caps(ledger: Ledger) -> Iterator[str]:
    """The numbers that are signed, and where none is the policy's. Closing the ledger wakes who then has room."""
    before, signed = ledger.tenant, {scope: standing.limit for scope, standing in ledger.tenant.overrides.items()}
    after = with_policy(replace(before, limits=signed), ledger.policy)
    if after != before:
        ledger.tenant = replace(after, capped_at=ledger.tx.now)
        ledger.touched += list(after.parked)
        yield f"limits {dict(before.limits)} → {signed}, cap {before.cap} → {after.cap}, the rest as the policy says"


def _turn(ledger: Ledger) -> Iterator[str]:
    """Closing the ledger computes both anew."""
    before, after = ledger.tenant, tenants.refreshed(ledger.tenant)
    if (before.offers, before.turn) != (after.offers, after.turn):
        yield f"offers {list(before.offers)} → {list(after.offers)}, turn {before.turn} → {after.turn}"


def _holders(ledger: Ledger, books: Books) -> Iterator[str]:
    """Exactly the runs in flight hold. A leaked slot is no service: it is not added to `served`."""
    held = ledger.tenant.holders
    wanted = {run.id: _holder(ledger, held.get(run.id), run) for run in books.live if run.in_flight}
    ledger.tenant = replace(ledger.tenant, holders=wanted)
    yield from (f"dropped leaked holder {run_id}" for run_id in sorted(held.keys() - wanted.keys()))
    yield from (f"gave {run_id} its slot back" for run_id in sorted(wanted.keys() - held.keys()))
    yield from (f"gave {i} its scopes back" for i in sorted(wanted.keys() & held.keys()) if wanted[i] != held[i])


def _holder(ledger: Ledger, held: Holder | None, run: Run) -> Holder:
    if held is not None:
        return replace(held, scopes=run.scopes)
    since = run.holding_since or ledger.tx.now
    expected = ledger.policy.execution.expected_seconds
    return Holder(since=since, expected=expected, kind=run.kind, scopes=run.scopes)


def _waiting(ledger: Ledger, books: Books) -> Iterator[str]:
    """How many wait, in all and for each user."""
    queued = [run for run in books.live if run.state is RunState.QUEUED]
    if ledger.tenant.waiting != len(queued):
        yield f"waiting {ledger.tenant.waiting} → {len(queued)}"
        ledger.tenant = replace(ledger.tenant, waiting=len(queued))
    users = {user.user for user in books.users} | {run.user for run in queued if run.user is not None}
    for user in sorted(users):
        line, count = ledger.user_line(user), sum(run.user == user for run in queued)
        if line.waiting != count:
            yield f"waiting of user {user} {line.waiting} → {count}"
            ledger.tx.put(replace(line, waiting=count))


def _lanes(ledger: Ledger, books: Books) -> Iterator[str]:
    """Heads from the runs that stand in line; who was parked though there is room becomes ready; counts from the lanes."""
    known = {lane.id: lane for lane in books.lanes}
    heads: dict[str, int] = {}
    for run in books.live:
        if stands_in_line(run):
            heads[run.lane] = min(run.key, heads.get(run.lane, run.key))
            known.setdefault(run.lane, lanes.new_lane(run))
    before = ledger.tenant
    ledger.tenant = replace(before, ready={}, parked={})
    for lane in known.values():
        after = _right(before, lane, heads)
        ledger.tenant = tenants.lane_moved(ledger.tenant, None, after)
        if after != lane:
            ledger.tx.get(Lane, lane.id)
            ledger.tx.put(after)
            yield f"{lane.id} {lane.state} with head {lane.head} → {after.state} with head {after.head}"
    if (before.ready, before.parked) != (ledger.tenant.ready, ledger.tenant.parked):
        yield "recounted its lanes"
    ledger.touched += list(ledger.tenant.parked)


def _right(tenant: Tenant, lane: Lane, heads: Mapping[str, int]) -> Lane:
    """The lane as it should be. A ready one that is blocked may stay: the dispatch that takes it up parks it."""
    head = heads.get(lane.id)
    if head is not None and lane.state is LaneState.READY:
        return replace(lane, head=head)
    return lane_after(tenant, lane, head)


def _visible(tenant: Tenant) -> dict[str, object]:
    counts = {"waiting": tenant.waiting, "ready": dict(tenant.ready)}
    parked = {scope: dict(kinds) for scope, kinds in tenant.parked.items()}
    caps = {"cap": tenant.cap, "limits": dict(tenant.limits), "offers": list(tenant.offers), "turn": tenant.turn}
    return {"holders": sorted(tenant.holders), **counts, "parked": parked, **caps}
