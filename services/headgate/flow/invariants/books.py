"""What the rules compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.lane import Lane
from headgate.core.run import LIVE, Run
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, Shard
from headgate.flow.deps import Deps
from headgate.store.documents import UserLine, where

LATEST = 1_000
"""So many of the runs that ended last are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken promise: which, of what, and what was found."""

    invariant: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Books:
    """Everything at about one moment, or (in a commit of the tenant) one tenant exactly. `now` is the store's time."""

    tenants: dict[str, Tenant]
    live: list[Run]
    lanes: list[Lane]
    controls: dict[str, Control]
    shards: list[Shard]
    users: list[UserLine]
    ended: tuple[Run, ...] = ()
    now: int = 0

    def counted(self) -> Mapping[str, int]:
        """How much there is of each."""
        runs = {"runs": len(self.live), "ended": len(self.ended), "lanes": len(self.lanes)}
        return {"tenants": len(self.tenants), **runs, "shards": len(self.shards), "scopes": len(self.controls)}


def read(deps: Deps) -> Books:
    """The books of a store: all that lives, and the latest of what has ended."""
    now = deps.store.now()
    live = [run for state in sorted(LIVE) for run in deps.store.every(Run, ("state", "==", state))]
    latest = where(Run, ("finished_at", "<=", now), order=("-finished_at",), limit=LATEST)
    return Books(
        tenants={tenant.id: tenant for tenant in deps.store.every(Tenant)},
        live=live,
        lanes=list(deps.store.every(Lane)),
        controls={control.id: control for control in list(deps.store.every(Control))},
        shards=list(deps.store.every(Shard)),
        users=list(deps.store.every(UserLine)),
        ended=tuple(deps.store.query(Run, latest)),
        now=now,
    )
