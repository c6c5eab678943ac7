"""All that a store says at one moment, and what must be true of it: who could start, and what was left half-way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from headgate.core import wide
from headgate.core.line import stands_in_line
from headgate.core.run import LIVE, Run
from headgate.core.scopes import LINE, SYSTEM, TENANT, kind_scope
from headgate.core.tenant import Tenant, blocked, full
from headgate.core.wide import Control, Shard
from headgate.store.documents import where
from headgate.store.reader import Reader


@dataclass
class Picture:
    """Documents by id."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    controls: dict[str, Control] = field(default_factory=dict)
    shards: dict[str, Shard] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Reader) -> Picture:
        """Everything that is stored now. Whole only while nobody writes."""
        return cls(*({one.id: one for one in _all(store, kind)} for kind in (Tenant, Run, Control, Shard)))

    def in_flight(self, scope: str) -> int:
        """Slots taken in a wide scope, counted by runs."""
        kind = scope.partition(":")[2]
        return sum(run.in_flight and (scope == SYSTEM or run.kind == kind) for run in self.runs.values())

    def held(self, scope: str) -> int:
        """Slots taken in a wide scope, counted by holders."""
        return sum(wide.used(shard) for shard in self.shards.values() if shard.scope == scope)

    def has_room(self, scope: str) -> bool:
        """Whether a wide scope's cap allows one more run."""
        cap = self.controls[scope].cap
        return cap is None or self.in_flight(scope) < cap

    def gates(self, run: Run) -> list[str]:
        """How far each pause over a run has come: `pausing`, `paused`."""
        tenant, system = self.tenants[run.tenant], self.controls[SYSTEM]
        states = [tenant.gates[scope].state for scope in (TENANT, *run.scopes) if scope in tenant.gates]
        if run.kind in system.closed:
            states.append(system.closed[run.kind].state)
        if system.mode == "maintenance" and system.mode_state is not None:
            states.append(system.mode_state.state)
        return states

    def startable(self, run: Run, tenant: Tenant) -> bool:
        """Whether nothing inside the tenant keeps a queued run from starting."""
        return (
            stands_in_line(run)
            and tenant.status == "active"
            and not full(tenant, TENANT)
            and blocked(tenant, (TENANT, *run.scopes)) is None
        )

    def eligible(self) -> list[str]:
        """Runs that wait although all they need is free: at rest there are none."""
        return [
            run.id
            for run in self.runs.values()
            if self.startable(run, self.tenants[run.tenant])
            and not self.gates(run)
            and self.has_room(SYSTEM)
            and self.has_room(kind_scope(run.kind))
        ]

    def live(self) -> list[Run]:
        """Runs that have not ended."""
        return [run for run in self.runs.values() if run.state in LIVE]

    def half_way(self) -> Iterator[str]:
        """What an operator began and nobody has ended: at rest, nothing."""
        for tenant in self.tenants.values():
            yield from (f"{tenant.id} {scope}" for scope, gate in tenant.gates.items() if gate.state == "pausing")
        for control in self.controls.values():
            if control.settle and (control.cap is None or self.held(control.id) <= control.cap):
                yield f"{control.id} is not dealt"
            yield from (f"kind {kind}" for kind, state in control.closed.items() if state.state == "pausing")
            if control.mode_state is not None and control.mode_state.state == "pausing":
                yield "mode"

    def over(self) -> Iterator[str]:
        """Scopes with more slots taken than they have (unless the cap was lowered), or credits that do not add up."""
        for tenant in self.tenants.values():
            if len(tenant.holders) > tenant.cap:
                yield f"{tenant.id}: {len(tenant.holders)} of {tenant.cap}"
        yield from self.wide_over()

    def wide_over(self) -> Iterator[str]:
        """The same of the wide scopes alone, whose caps settle."""
        for control in self.controls.values():
            if control.settle or control.id == LINE:
                continue
            shards = [shard for shard in self.shards.values() if shard.scope == control.id]
            credit = None if control.cap is None else sum(shard.credit or 0 for shard in shards)
            if credit != control.cap:
                yield f"{control.id}: credits {credit}, cap {control.cap}"
            if control.cap is not None and self.held(control.id) > control.cap:
                yield f"{control.id}: {self.held(control.id)} of {control.cap}"


def _all(store: Reader, cls: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        page = store.query(cls, where(cls, limit=500, after=(found[-1].id,) if found else None))
        found += page
        if len(page) < 500:
            return found
