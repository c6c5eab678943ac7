"""Lanes: the queued runs of a tenant that need exactly the same scopes wait in one lane."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from headgate.core.run import Run
from headgate.core.scopes import Affiliation, local_scopes


class LaneState(StrEnum):
    """idle: nobody waits. parked: a scope is gated or full, nobody looks. ready: its head may start."""

    IDLE = "idle"
    PARKED = "parked"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """`on` is the scope a parked lane waits for; `head` the least key of its queued, not delayed runs."""

    id: str
    tenant: str
    kind: str
    scopes: tuple[str, ...] = ()
    state: LaneState = LaneState.IDLE
    on: str | None = None
    head: int | None = None


def lane_id(tenant: str, of: Affiliation, kind: str) -> str:
    """The same for runs with the same scopes, and only for those."""
    text = "\x1f".join((*(f"{len(part)}:{part}" if part is not None else "-" for part in (tenant, *of)), kind))
    return "lane_" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def new_lane(run: Run) -> Lane:
    """The idle lane of a run."""
    return Lane(id=run.lane, tenant=run.tenant, kind=run.kind, scopes=local_scopes(run.affiliation))
