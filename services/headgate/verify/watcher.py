"""What must hold at every commit: the rules that the line was designed by, checked after each one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from headgate.core import tenant as tenants
from headgate.core import wide
from headgate.core.admission import KEEPS_QUEUE
from headgate.core.lane import Lane, LaneState
from headgate.core.policy import Policy
from headgate.core.run import IN_FLIGHT, TERMINAL, Run, RunState
from headgate.core.scopes import LINE, SYSTEM, TENANT, kind_scope, scope_type
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, Shard
from headgate.flow.invariants import Violation, slots, tenant_violations
from headgate.store.port import Write
from headgate.verify import order
from headgate.verify.picture import Picture

Changed = tuple[Run | None, Run]
DRAINS = ("drain", "drain_cancel")


class Broken(Exception):
    """A promise was broken in this history."""


class Watcher:
    """Sees every commit after it was made; counts the situations that only a commit shows."""

    def __init__(self, policy: Policy, reached: Counter[str]) -> None:
        self.picture = Picture()
        self._policy = policy
        self._reached = reached
        self._clock_at: dict[str, float] = {}
        """The fleet's virtual time as of each tenant's last commit: it may not begin to offer behind that."""
        self.broken: Broken | None = None

    def committed(self, writes: Sequence[Write]) -> None:
        """Raises Broken; and keeps it, for those who made the commit may think that it is theirs to deal with."""
        try:
            self._check(self.picture.draw(writes))
        except Broken as broken:
            self.broken = self.broken or broken
            raise

    def _check(self, changes: Sequence[tuple[Any, Any]]) -> None:
        runs = [(before, after) for before, after in changes if isinstance(after, Run)]
        ruled_anew = False
        for before, after in changes:
            if isinstance(after, Tenant):
                self._tenant(before, after)
                ruled_anew |= before is None or _rules(before) != _rules(after)
            elif isinstance(after, Lane) and after.state is LaneState.PARKED:
                self._reached[f"parked on a {scope_type(after.on or '')}"] += 1
        for before, run in runs:
            self._finality(before, run)
        if not ruled_anew:  # a fold may start a run and then change a rule, which is as it should be
            self._changed(runs)
        if any(isinstance(after, Shard | Control) for _, after in changes):
            self._wide()
        self._count(runs)

    def _changed(self, runs: Sequence[Changed]) -> None:
        sent_back = any(before and before.in_flight and after.state is RunState.QUEUED for before, after in runs)
        for before, run in runs:
            if before is None:
                self._created(run)
                self._bounds(run) if run.state is RunState.QUEUED and not sent_back else None
            if before is None or run.state is not before.state:
                self._gates(run)
                self._caps(run) if run.state is RunState.PENDING else None
        if len(runs) == 1:
            self._order(*runs[0])

    # --- the tenant

    def _tenant(self, before: Tenant | None, after: Tenant) -> None:
        _none(tenant_violations(self.picture.tenant_books(after.id)))
        if after.offers and not (before and before.offers) and after.served < self._clock_at.get(after.id, 0.0) - 1e-6:
            raise Broken(f"{after.id} begins to offer at {after.served}, behind the fleet's {self._clock_at[after.id]}")
        self._clock_at[after.id] = max((s.v for s in self.picture.all(Shard) if s.scope == SYSTEM), default=0.0)
        for scope, gate in after.gates.items():
            if gate.state == "paused" and gate.mode in DRAINS:
                self._drained(after, scope, gate.mode)

    def _drained(self, tenant: Tenant, scope: str, mode: str) -> None:
        """Once a pause that drains is answered, nobody of its subject waits (or, if it cancels all, runs)."""
        for run in self.picture.live:
            concerned = run.tenant == tenant.id and scope in (TENANT, *run.scopes)
            if concerned and (run.state is not RunState.RUNNING or mode == "drain_cancel"):
                raise Broken(f"run {run.id} is {run.state} under {scope} of {tenant.id}, which is paused with {mode}")

    # --- runs

    def _finality(self, before: Run | None, after: Run) -> None:
        if before is None:
            return
        if before.state in TERMINAL and after.state is not before.state:
            raise Broken(f"run {after.id} ended as {before.state} and is {after.state}")
        if after.fence < before.fence:
            raise Broken(f"the fence of run {after.id} went back from {before.fence} to {after.fence}")

    def _created(self, run: Run) -> None:
        """Nobody is let in against a mode, a pause or a bound of the line."""
        tenant, control = self.picture.get(Tenant, run.tenant), self.picture.get(Control, SYSTEM)
        gates = [tenant.gates[s].mode for s in (TENANT, *run.scopes) if s in tenant.gates]
        gates += [control.closed[run.kind].mode] if run.kind in control.closed else []
        if control.mode != "normal" or set(gates) - KEEPS_QUEUE:
            raise Broken(f"run {run.id} was accepted in mode {control.mode} under pauses {gates}")
        if run.concurrency_key is not None:
            same = [
                r.id for r in self.picture.live if (r.tenant, r.concurrency_key) == (run.tenant, run.concurrency_key)
            ]
            if len(same) > 1:
                raise Broken(f"{same} of {run.tenant} have the same concurrencyKey {run.concurrency_key}")

    def _bounds(self, run: Run) -> None:
        """What is sent back is never refused, so a bound may be passed; but not by a newcomer, where it was counted."""
        tenant = self.picture.get(Tenant, run.tenant)
        same_user = [r for r in self.picture.live if (r.tenant, r.user) == (run.tenant, run.user)]
        of_user = sum(r.state is RunState.QUEUED for r in same_user) if run.user else 0
        place, bounds = self.picture.get(Shard, run.shards.line or ""), self._policy.line
        over = wide.held([place]) > (place.credit or 0)
        if over or tenant.waiting > bounds.per_tenant or of_user > bounds.per_user:
            raise Broken(f"run {run.id} queued, one of {tenant.waiting}, of {of_user} of its user, in {place}")

    def _caps(self, run: Run) -> None:
        """At a start no scope is over its cap, counted over the runs themselves."""
        live = [other for other in self.picture.live if other.state in IN_FLIGHT]
        counted = {SYSTEM: live, kind_scope(run.kind): [other for other in live if other.kind == run.kind]}
        for scope, runs in counted.items():
            cap = self.picture.get(Control, scope).cap
            if cap is not None and len(runs) > cap:
                raise Broken(f"{scope}: {len(runs)} in flight, cap {cap}")
        tenant = self.picture.get(Tenant, run.tenant)
        for scope in (TENANT, *run.scopes):
            cap, used = tenants.limit(tenant, scope), tenants.use(tenant, scope)
            if cap is not None and used > cap:
                raise Broken(f"{scope} of {tenant.id}: {used} in flight, cap {cap}")

    def _gates(self, run: Run) -> None:
        """Nothing becomes pending under a gate; nothing is claimed once its pause says `paused`."""
        if run.state not in IN_FLIGHT:
            return
        tenant, control = self.picture.get(Tenant, run.tenant), self.picture.get(Control, SYSTEM)
        states = [tenant.gates[s].state for s in (TENANT, *run.scopes) if s in tenant.gates]
        states += [control.closed[run.kind].state] if run.kind in control.closed else []
        if control.mode == "maintenance" and control.mode_state is not None:
            states.append(control.mode_state.state)
        if states and (run.state is RunState.PENDING or "paused" in states):
            raise Broken(f"run {run.id} is {run.state} under {states}")

    def _order(self, before: Run | None, run: Run) -> None:
        """Who starts is the first of its kind, in its tenant, that could."""
        if run.state is not RunState.PENDING or (before is not None and before.state is RunState.PENDING):
            return
        waited = before is not None or any(event.type == "run.queued" for event in run.events)  # in this very commit
        passed = order.passed_over(self.picture, run, waited, self._policy.pressure)
        if passed:
            raise Broken(f"run {run.id} started before {passed}, of its kind, which could have started")

    # --- the fleet

    def _wide(self) -> None:
        books = self.picture.wide_books()
        _none(slots.wide(books))
        for scope, control in books.controls.items():
            shards = [shard for shard in books.shards if shard.scope == scope]
            if control.settle:
                held = wide.held(shards)
                self._reached["cap lowered below use"] += control.cap is not None and held > control.cap
            if control.settle or control.cap is None:
                continue
            if sum(shard.credit or 0 for shard in shards) != control.cap:
                raise Broken(f"the credits of {scope} do not add up to {control.cap}")
            if scope != LINE and any(len(shard.holders) > (shard.credit or 0) for shard in shards):
                raise Broken(f"a shard of {scope} is over its credit")

    # --- what was reached

    def _count(self, runs: Sequence[Changed]) -> None:
        new = sum(before is None for before, _ in runs)
        self._reached["commit folds submits"] += new > 1
        self._reached["commit folds other bodies"] += len(runs) > 1 and not new
        self._reached["commit folds submits with other bodies"] += any(
            before is not None and run.concurrency_key is None for before, run in runs if new
        )
        for before, run in runs:
            if before is not None and run.state is not before.state and run.state in TERMINAL:
                self._reached[f"ended: {run.state}"] += 1
            given_back = before is not None and before.state is RunState.PENDING and run.state is RunState.QUEUED
            self._reached["pending run given back"] += given_back
            self._reached["moment came"] += before is not None and before.delayed and not run.delayed


def _rules(tenant: Tenant) -> tuple[object, ...]:
    """What an operator changes of a tenant."""
    return tenant.gates, tenant.cap, tenant.overrides, tenant.status


def _none(violations: Iterable[Violation]) -> None:
    for found in violations:
        raise Broken(f"{found.invariant} {found.subject}: {found.detail}")
