"""The invariant checker: recount what the documents say against what the runs are, and list every difference.

I1  slots held per scope ≤ cap, unless the cap was lowered below use (then nothing new starts)
I2  slots held = pending and running runs, per scope and per run
I3  every acknowledged run exists (idempotency records and receipts point to runs that are there)
I4  one terminal event per run
I5  only the newest fence writes: a run under way has a worker and a lease, others have none
I6  events only move along the diagram
I7  a queued run holds no slot; its place in line and its lane are counted exactly

A live system moves while it is read, so a difference is looked at again before it is reported: what commits in between
disappears, what is really wrong stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from headgate.core import tenant as tenants
from headgate.core.lane import Lane, LaneState
from headgate.core.line import stands_in_line
from headgate.core.run import IN_FLIGHT, LIVE, Run, RunState
from headgate.core.scopes import LINE, SYSTEM, TENANT, full_name, kind_scope
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, Shard
from headgate.flow.deps import Deps
from headgate.store.documents import IdempotencyRecord, UserLine, where

PAGE = 500
LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken promise: which, of what, and what was found."""

    invariant: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, and how much was looked at."""

    violations: tuple[Violation, ...]
    checked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Books:
    """What the rules compare: everything at about one moment, or (in a commit of the tenant) one tenant exactly."""

    tenants: dict[str, Tenant]
    live: list[Run]
    lanes: list[Lane]
    controls: dict[str, Control]
    shards: list[Shard]
    users: list[UserLine]


def check(deps: Deps) -> Report:
    """Look until two looks agree or three times; report what every look has found."""
    books = _read(deps)
    standing = set(_violations(deps, books))
    for _ in range(LOOKS - 1):
        if not standing:
            break
        deps.timing.sleep(0.2)
        books = _read(deps)
        standing &= set(_violations(deps, books))
    checked = {
        "tenants": len(books.tenants),
        "runs": len(books.live),
        "lanes": len(books.lanes),
        "shards": len(books.shards),
        "scopes": len(books.controls),
    }
    ordered = sorted(standing, key=lambda v: (v.invariant, v.subject, v.detail))
    return Report(violations=tuple(ordered), checked=checked)


def tenant_violations(books: Books) -> Iterator[Violation]:
    """What is wrong inside the tenants of these books, wide scopes apart: what a repair of a tenant can mend."""
    for rule in (_holders, _line, _lanes):
        yield from rule(books)


def _violations(deps: Deps, books: Books) -> Iterator[Violation]:
    for rule in (_caps, _holders, _wide_holders, _leases, _histories, _line, _lanes):
        yield from rule(books)
    yield from _acknowledged(deps)


def _caps(books: Books) -> Iterator[Violation]:
    """I1. A cap lowered below use is no violation; shards say so by `settle`."""
    for tenant in books.tenants.values():
        for scope in (TENANT, *{s for holder in tenant.holders.values() for s in holder.scopes}):
            cap, used = tenants.limit(tenant, scope), tenants.use(tenant, scope)
            overridden = scope in tenant.limits or scope == TENANT
            if cap is not None and used > cap and not overridden:
                yield Violation(invariant="I1", subject=full_name(tenant.id, scope), detail=f"{used} held, cap {cap}")
    for scope, control in books.controls.items():
        held = sum(len(shard.holders) for shard in books.shards if shard.scope == scope)
        if control.cap is not None and held > control.cap and not control.settle and scope != LINE:
            yield Violation(invariant="I1", subject=scope, detail=f"{held} held, cap {control.cap}")


def _holders(books: Books) -> Iterator[Violation]:
    """I2 inside tenants."""
    inside: dict[str, dict[str, Run]] = defaultdict(dict)
    for run in books.live:
        if run.state in IN_FLIGHT:
            inside[run.tenant][run.id] = run
    for tenant in books.tenants.values():
        yield from _compare("I2", f"tenant:{tenant.id}", tenant.holders, inside[tenant.id])
        for run_id, holder in tenant.holders.items():
            held = inside[tenant.id].get(run_id)
            if held is not None and holder.scopes != held.scopes:
                yield Violation(invariant="I2", subject=run_id, detail=f"holds {holder.scopes}, needs {held.scopes}")


def _wide_holders(books: Books) -> Iterator[Violation]:
    """I2 and I7 over shards: every holder is a run that should stand there, once."""
    expected: dict[str, list[str]] = defaultdict(list)
    for run in books.live:
        for scope in (SYSTEM, kind_scope(run.kind)) if run.state in IN_FLIGHT else (LINE,):
            expected[scope].append(run.id)
    for scope in books.controls:
        held = [run for shard in books.shards if shard.scope == scope for run in shard.holders]
        yield from _compare("I2" if scope != LINE else "I7", scope, held, expected[scope])
        for run_id, times in Counter(held).items():
            if times > 1:
                yield Violation(invariant="I2", subject=scope, detail=f"{run_id} stands in {times} shards")
    standing = {shard.id: shard.holders for shard in books.shards}
    for run in books.live:
        for scope, name in places(run):
            if name is None or run.id not in standing.get(name, {}):
                yield Violation(invariant="I2", subject=run.id, detail=f"names {name} of {scope}, does not stand there")


def places(run: Run) -> list[tuple[str, str | None]]:
    """The wide scopes in which a run should stand, with the shard that it names for each."""
    if run.state in IN_FLIGHT:
        return [(SYSTEM, run.shards.system), (kind_scope(run.kind), run.shards.kind)]
    return [(LINE, run.shards.line)] if run.state is RunState.QUEUED else []


def _compare(invariant: str, subject: str, held: Iterable[str], expected: Iterable[str]) -> Iterator[Violation]:
    here, there = set(held), set(expected)
    for run_id in sorted(here - there):
        yield Violation(invariant=invariant, subject=subject, detail=f"{run_id} holds a slot and should not: a leak")
    for run_id in sorted(there - here):
        yield Violation(invariant=invariant, subject=subject, detail=f"{run_id} should hold a slot and does not")


def _leases(books: Books) -> Iterator[Violation]:
    """I5."""
    for run in books.live:
        claimed = run.state is RunState.RUNNING
        if claimed != (run.worker is not None) or claimed != (run.lease_until is not None):
            yield Violation(invariant="I5", subject=run.id, detail=f"{run.state} with worker {run.worker}")
        if claimed and run.fence < 1:
            yield Violation(invariant="I5", subject=run.id, detail="running without a fence")


def _histories(books: Books) -> Iterator[Violation]:
    """I4 and I6, as far as the events in the run go."""
    for run in books.live:
        ends = [event for event in run.events if event.type == "run.finished"]
        if ends:
            yield Violation(invariant="I4", subject=run.id, detail=f"{run.state} after run.finished")
        numbers = [event.seq for event in run.events]
        if numbers != sorted(set(numbers)) or (numbers and numbers[-1] > run.event_seq):
            yield Violation(invariant="I6", subject=run.id, detail=f"event numbers {numbers} of {run.event_seq}")


def _line(books: Books) -> Iterator[Violation]:
    """I7: who waits is counted, in the tenant and for its user."""
    waiting = Counter(run.tenant for run in books.live if run.state is RunState.QUEUED)
    by_user = Counter((run.tenant, run.user) for run in books.live if run.state is RunState.QUEUED and run.user)
    for tenant in books.tenants.values():
        if tenant.waiting != waiting[tenant.id]:
            detail = f"{tenant.waiting} counted, {waiting[tenant.id]} waiting"
            yield Violation(invariant="I7", subject=f"line:tenant/{tenant.id}", detail=detail)
    for user in books.users:
        if user.waiting != by_user[user.tenant, user.user]:
            detail = f"{user.waiting} counted, {by_user[user.tenant, user.user]} waiting"
            yield Violation(invariant="I7", subject=f"line:user/{user.tenant}/{user.user}", detail=detail)


def _lanes(books: Books) -> Iterator[Violation]:
    """I7: heads, states and counts of lanes; and no lane sleeps while the scope it waits for has room."""
    heads: dict[str, int] = {}
    for run in books.live:
        if stands_in_line(run):
            heads[run.lane] = min(run.key, heads.get(run.lane, run.key))
    ready: dict[str, Counter[str]] = defaultdict(Counter)
    parked: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for lane in books.lanes:
        if lane.head != heads.get(lane.id):
            detail = f"head {lane.head}, should be {heads.get(lane.id)}"
            yield Violation(invariant="I7", subject=lane.id, detail=detail)
        if lane.state is LaneState.READY:
            ready[lane.tenant][lane.kind] += 1
        elif lane.state is LaneState.PARKED and lane.on is not None:
            parked[lane.tenant][lane.on, lane.kind] += 1
    for tenant in books.tenants.values():
        counted = {(scope, kind): n for scope, kinds in tenant.parked.items() for kind, n in kinds.items()}
        if dict(tenant.ready) != dict(ready[tenant.id]) or counted != dict(parked[tenant.id]):
            yield Violation(invariant="I7", subject=f"tenant:{tenant.id}", detail="counts of lanes are off")
        yield from _sleepers(tenant, [lane for lane in books.lanes if lane.tenant == tenant.id])


def _sleepers(tenant: Tenant, lanes: list[Lane]) -> Iterator[Violation]:
    for scope, kinds in tenant.parked.items():
        for kind in kinds:
            room = scope not in tenant.gates and not tenants.full(tenant, scope)
            awake = any(lane.state is LaneState.READY and lane.kind == kind and scope in lane.scopes for lane in lanes)
            if room and not awake:
                detail = f"lanes of kind {kind} sleep though it has room"
                yield Violation(invariant="I7", subject=full_name(tenant.id, scope), detail=detail)


def _acknowledged(deps: Deps) -> Iterator[Violation]:
    """I3."""
    now = deps.store.now()
    query = where(IdempotencyRecord, ("expire_at", ">", now), order=("expire_at",), limit=PAGE)
    records = deps.store.query(IdempotencyRecord, query)
    found = deps.store.get_all(Run, [record.run_id for record in records])
    for record, run in zip(records, found, strict=True):
        if run is None:
            yield Violation(invariant="I3", subject=record.run_id, detail="was acknowledged and does not exist")


def _read(deps: Deps) -> Books:
    live = [run for state in sorted(LIVE) for run in deps.store.every(Run, ("state", "==", state))]
    return Books(
        tenants={tenant.id: tenant for tenant in deps.store.every(Tenant)},
        live=live,
        lanes=list(deps.store.every(Lane)),
        controls={control.id: control for control in list(deps.store.every(Control))},
        shards=list(deps.store.every(Shard)),
        users=list(deps.store.every(UserLine)),
    )
