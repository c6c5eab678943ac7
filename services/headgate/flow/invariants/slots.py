"""I1, I2 and the first half of I7: who holds what, against who should."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from headgate.core import tenant as tenants
from headgate.core import wide as wides
from headgate.core.run import IN_FLIGHT, Run, RunState
from headgate.core.scopes import LINE, SYSTEM, TENANT, full_name, kind_scope
from headgate.core.wide import Control, Shard
from headgate.flow.invariants.books import Books, Violation


def caps(books: Books) -> Iterator[Violation]:
    """I1. A cap lowered below use is no violation, but then nothing new starts; wide scopes say so by `settle`."""
    for tenant in books.tenants.values():
        for scope in (TENANT, *{s for holder in tenant.holders.values() for s in holder.scopes}):
            cap, used = tenants.limit(tenant, scope), tenants.use(tenant, scope)
            newest = max((h.since for h in tenant.holders.values() if scope in (TENANT, *h.scopes)), default=0)
            if cap is not None and used > cap and newest > tenant.capped_at:
                yield Violation(invariant="I1", subject=full_name(tenant.id, scope), detail=f"{used} held, cap {cap}")
    for scope, control in books.controls.items():
        held = sum(wides.used(shard) for shard in books.shards if shard.scope == scope)
        if control.cap is not None and held > control.cap and not control.settle and scope != LINE:
            yield Violation(invariant="I1", subject=scope, detail=f"{held} held, cap {control.cap}")
        for detail in undealt(control, [shard for shard in books.shards if shard.scope == scope]):
            yield Violation(invariant="I1", subject=scope, detail=detail)


def undealt(control: Control, shards: Sequence[Shard]) -> Iterator[str]:
    """What is wrong with how a wide scope is dealt out over its shards; dealing anew mends it."""
    if {shard.index for shard in shards} != set(range(control.shards)):
        yield f"{len(shards)} shards, should be {control.shards}"
    if any(shard.settle != control.settle for shard in shards):
        yield f"shards are closed or open though the scope is {'closed' if control.settle else 'open'}"
    if any(shard.free == wides.full(shard) for shard in shards):
        yield "shards are marked free that are full, or full that are free"
    if control.settle:
        return
    if any((shard.credit is None) != (control.cap is None) for shard in shards):
        yield f"credits are missing or of no use, cap {control.cap}"
    elif control.cap is not None and (credits := sum(shard.credit or 0 for shard in shards)) != control.cap:
        yield f"credits add up to {credits}, cap {control.cap}"
    for shard in shards if control.id != LINE else ():  # who is put back in line is never refused
        if shard.credit is not None and wides.used(shard) > shard.credit:
            yield f"{shard.id} holds {wides.used(shard)}, credit {shard.credit}"


def inside(books: Books) -> Iterator[Violation]:
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


def wide(books: Books) -> Iterator[Violation]:
    """I2 and I7 over shards: every holder is a run that should stand there, once; who waits is counted where it says."""
    expected: dict[str, list[str]] = defaultdict(list)
    for run in books.live:
        for scope in (SYSTEM, kind_scope(run.kind)) if run.state in IN_FLIGHT else ():
            expected[scope].append(run.id)
    for scope in sorted(set(books.controls) - {LINE}):
        held = [run for shard in books.shards if shard.scope == scope for run in shard.holders]
        yield from _compare("I2", scope, held, expected[scope])
        for run_id, times in Counter(held).items():
            if times > 1:
                yield Violation(invariant="I2", subject=scope, detail=f"{run_id} stands in {times} shards")
    standing = {shard.id: shard.holders for shard in books.shards}
    yield from _waiting(books)
    for run in books.live:
        for scope, name in places(run):
            if scope != LINE and (name is None or run.id not in standing.get(name, {})):
                yield Violation(invariant="I2", subject=run.id, detail=f"names {name} of {scope}, does not stand there")


def _waiting(books: Books) -> Iterator[Violation]:
    """I7: each shard of the line counts the runs that name it."""
    named = Counter(run.shards.line for run in books.live if run.state is RunState.QUEUED)
    counted = {shard.id: wides.used(shard) for shard in books.shards if shard.scope == LINE}
    for name in sorted({*counted, *(str(name) for name in named)}):
        if counted.get(name, 0) != named[name]:
            detail = f"{counted.get(name)} counted, {named[name]} waiting"
            yield Violation(invariant="I7", subject=name, detail=detail)


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
