"""I3 and I9: what was acknowledged is there, and what was changed has its record."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from headgate.core.limits import Override
from headgate.core.policy import Policy
from headgate.core.run import Run
from headgate.core.scopes import SYSTEM, TENANT, full_name, kind_scope
from headgate.core.tenant import with_policy
from headgate.flow.deps import Deps
from headgate.flow.invariants.books import Books, Violation
from headgate.store.documents import AuditRecord, IdempotencyRecord

PAGE = 500


def acknowledged(deps: Deps) -> Iterator[Violation]:
    """I3: of every key that is still remembered, page by page. A run that was submitted without a key is known to nobody
    once it is gone: while it waited or held a slot, the counts that it is missing from tell of it (I2, I7)."""
    now = deps.store.now()
    standing = (record for record in deps.store.every(IdempotencyRecord) if record.expire_at > now)
    while records := list(islice(standing, PAGE)):
        found = deps.store.get_all(Run, [record.run_id for record in records])
        for record, run in zip(records, found, strict=True):
            if run is None:
                yield Violation(invariant="I3", subject=record.run_id, detail="was acknowledged and does not exist")


def changes(deps: Deps, books: Books) -> Iterator[Violation]:
    """I9: every pause, mode, closed kind and limit set at run time that stands was written with the record of who
    wanted it, and no cap is in force that is neither the policy's nor such a limit's."""
    wanted = {id: (subject, what) for subject, what, id in _standing(books)}
    found = deps.store.get_all(AuditRecord, list(wanted)) if wanted else []
    for (id, (subject, what)), record in zip(wanted.items(), found, strict=True):
        if record is None or record.subject != subject:
            yield Violation(invariant="I9", subject=subject, detail=f"{what} {id} has no record in the audit log")
    yield from _wide_caps(books)
    yield from inner_caps(books, deps.policy)


def _standing(books: Books) -> Iterator[tuple[str, str, str]]:
    for tenant in books.tenants.values():
        for scope, gate in tenant.gates.items():
            yield full_name(tenant.id, scope), "pause", gate.id
        if tenant.status_gate is not None:
            yield full_name(tenant.id, TENANT), "status", tenant.status_gate.id
    yield from ((subject, "limit", override.id) for subject, override in _limits(books))
    system = books.controls.get(SYSTEM)
    if system is not None:
        if system.mode_state is not None:
            yield SYSTEM, "mode", system.mode_state.id
        for kind, state in system.closed.items():
            yield kind_scope(kind), "closed kind", state.id


def _limits(books: Books) -> Iterator[tuple[str, Override]]:
    for tenant in books.tenants.values():
        yield from ((full_name(tenant.id, scope), override) for scope, override in tenant.overrides.items())
    yield from ((scope, c.override) for scope, c in books.controls.items() if c.override is not None)


def _wide_caps(books: Books) -> Iterator[Violation]:
    """The number in force is the one that was signed."""
    for scope, control in books.controls.items():
        signed = control.base if control.override is None else control.override.limit
        if control.cap != signed:
            yield Violation(invariant="I9", subject=scope, detail=f"its cap is {control.cap}, signed is {signed}")


def inner_caps(books: Books, policy: Policy) -> Iterator[Violation]:
    """Inside tenants: every number set at run time is signed, with that number; all others are the policy's."""
    for tenant in books.tenants.values():
        for scope in sorted({*tenant.limits, *tenant.overrides}):
            override, limit = tenant.overrides.get(scope), tenant.limits.get(scope)
            if override is None or override.limit != limit:
                detail = f"its limit is {limit}, signed is {override and override.limit}"
                yield Violation(invariant="I9", subject=full_name(tenant.id, scope), detail=detail)
        due = with_policy(tenant, policy)
        for name in ("cap", "weight", "defaults", "base"):
            if getattr(tenant, name) != getattr(due, name):
                detail = f"its {name} is {getattr(tenant, name)}, the policy's {getattr(due, name)}"
                yield Violation(invariant="I9", subject=f"tenant:{tenant.id}", detail=detail)
