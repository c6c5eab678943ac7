"""The audit log: who changed what, written in the commit of the change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.flow.deps import Deps
from headgate.store.documents import AuditRecord, where
from headgate.store.transaction import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Who makes a change and why; `id` is the change's own id, so a repeated attempt is the same change."""

    id: str
    actor: str
    reason: str = ""
    request_id: str | None = None


def record(tx: Tx, why: Reason, action: str, subject: str, before: Any, after: Any, tenant: str | None = None) -> None:
    """Append to the log, in this commit. Its existence also proves the commit when its reply was lost."""
    tx.create(
        AuditRecord(
            id=why.id,
            at=tx.now,
            actor=why.actor,
            action=action,
            subject=subject,
            tenant=tenant,
            before=before,
            after=after,
            reason=why.reason,
            request_id=why.request_id,
        )
    )


FILTERS = ("subject", "actor", "action")


def log(deps: Deps, filters: Mapping[str, str], since: int | None, limit: int, after: tuple[int, str] | None,
        tenant: str | None = None) -> tuple[list[AuditRecord], tuple[int, str] | None]:  # fmt: skip
    """Records newest first, those of `tenant` or of all, and where to go on: the place of the last, None at the end.

    `filters` are exact values of FILTERS; `since` in ms.
    """
    wanted = {**filters, **({} if tenant is None else {"tenant": tenant})}
    conditions: list[tuple[str, str, object]] = [(name, "==", value) for name, value in sorted(wanted.items())]
    conditions += [] if since is None else [("at", ">=", since)]
    query = where(AuditRecord, *conditions, order=("-at",), limit=limit + 1, after=after)
    found = deps.store.query(AuditRecord, query)
    records = found[:limit]
    return records, (records[-1].at, records[-1].id) if len(found) > limit else None
