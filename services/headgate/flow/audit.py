"""The audit log: who changed what, written in the commit of the change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headgate.store.documents import AuditRecord
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
