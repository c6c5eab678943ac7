"""I3 and I9: what was acknowledged is there, and what was changed has its record."""

from __future__ import annotations

from collections.abc import Iterator

from headgate.core.run import Run
from headgate.core.scopes import SYSTEM, TENANT, full_name
from headgate.flow.deps import Deps
from headgate.flow.invariants.books import Books, Violation
from headgate.store.documents import AuditRecord, IdempotencyRecord, where

PAGE = 500


def acknowledged(deps: Deps) -> Iterator[Violation]:
    """I3."""
    now = deps.store.now()
    query = where(IdempotencyRecord, ("expire_at", ">", now), order=("expire_at",), limit=PAGE)
    records = deps.store.query(IdempotencyRecord, query)
    found = deps.store.get_all(Run, [record.run_id for record in records])
    for record, run in zip(records, found, strict=True):
        if run is None:
            yield Violation(invariant="I3", subject=record.run_id, detail="was acknowledged and does not exist")


def changes(deps: Deps, books: Books) -> Iterator[Violation]:
    """I9: every pause, mode and closed kind that stands was written with the record of who wanted it."""
    wanted = {id: (subject, what) for subject, what, id in _standing(books)}
    found = deps.store.get_all(AuditRecord, list(wanted)) if wanted else []
    for (id, (subject, what)), record in zip(wanted.items(), found, strict=True):
        if record is None or record.subject != subject:
            yield Violation(invariant="I9", subject=subject, detail=f"{what} {id} has no record in the audit log")
    yield from _caps(deps, books)


def _standing(books: Books) -> Iterator[tuple[str, str, str]]:
    for tenant in books.tenants.values():
        for scope, gate in tenant.gates.items():
            yield full_name(tenant.id, scope), "pause", gate.id
        if tenant.status_gate is not None:
            yield full_name(tenant.id, TENANT), "status", tenant.status_gate.id
    system = books.controls.get(SYSTEM)
    if system is not None:
        if system.mode_state is not None:
            yield SYSTEM, "mode", system.mode_state.id
        for state in system.closed.values():
            yield SYSTEM, "closed kind", state.id


def _caps(deps: Deps, books: Books) -> Iterator[Violation]:
    """A wide cap that is not the policy's was set by somebody, and the last one to do so set this one."""
    for scope, control in books.controls.items():
        if control.cap == control.base:
            continue
        latest = deps.store.query(AuditRecord, where(AuditRecord, ("subject", "==", scope), order=("-at",), limit=20))
        said = [record for record in latest if record.action == "limit.set"]
        last = [record.after for record in said if record.at == said[0].at]  # of one moment any may be the last
        if {"limit": control.cap} not in last:
            yield Violation(
                invariant="I9", subject=scope, detail=f"its cap {control.cap} has no record in the audit log"
            )
