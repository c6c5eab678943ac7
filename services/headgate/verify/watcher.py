"""What must hold at every commit, checked on the raw documents: cheap enough to be done every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.core import tenant as tenants
from headgate.core.run import IN_FLIGHT, TERMINAL, Run
from headgate.core.scopes import SYSTEM, TENANT, kind_scope
from headgate.core.tenant import Tenant
from headgate.core.wide import Control
from headgate.store.documents import collection_of, from_raw
from headgate.store.port import Backend, Key, Put, Write


class Broken(Exception):
    """A promise was broken in this history."""


class Watcher:
    """Sees every commit after it was made."""

    def __init__(self, store: Backend) -> None:
        self._store = store
        self._runs: dict[str, Mapping[str, Any]] = {}

    def committed(self, writes: Sequence[Write]) -> None:
        """Raises Broken."""
        started: list[Mapping[str, Any]] = []
        for write in writes:
            if isinstance(write, Put) and write.key.collection == collection_of(Run):
                before, after = self._runs.get(write.key.id), write.raw
                self._finality(before, after)
                self._runs[write.key.id] = after
                if after["state"] != (before or {}).get("state") and after["state"] in IN_FLIGHT:
                    started.append(after)
        for run in started:
            self._gates(run)
            if run["state"] == "pending":
                self._caps(run)

    def _finality(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
        if before is None:
            return
        if before["state"] in TERMINAL and after["state"] != before["state"]:
            raise Broken(f"run {after['id']} ended as {before['state']} and is {after['state']}")
        if after["fence"] < before["fence"]:
            raise Broken(f"the fence of run {after['id']} went back from {before['fence']} to {after['fence']}")

    def _caps(self, run: Mapping[str, Any]) -> None:
        """At a start no scope is over its cap, counted over the runs themselves."""
        live = [other for other in self._runs.values() if other["state"] in IN_FLIGHT]
        counted = {SYSTEM: live, kind_scope(run["kind"]): [other for other in live if other["kind"] == run["kind"]]}
        for scope, runs in counted.items():
            cap = self._read(Control, scope).cap
            if cap is not None and len(runs) > cap:
                raise Broken(f"{scope}: {len(runs)} in flight, cap {cap}")
        tenant = self._read(Tenant, run["tenant"])
        for scope in (TENANT, *(s for holder in tenant.holders.values() for s in holder.scopes)):
            cap, used = tenants.limit(tenant, scope), tenants.use(tenant, scope)
            if cap is not None and used > cap:
                raise Broken(f"{scope} of {tenant.id}: {used} in flight, cap {cap}")

    def _gates(self, run: Mapping[str, Any]) -> None:
        """Nothing becomes pending under a gate; nothing is claimed once its pause says `paused`."""
        tenant, control = self._read(Tenant, run["tenant"]), self._read(Control, SYSTEM)
        scopes = from_raw(Run, dict(run)).scopes
        states = [tenant.gates[s].state for s in (TENANT, *scopes) if s in tenant.gates]
        states += [control.closed[run["kind"]].state] if run["kind"] in control.closed else []
        if control.mode == "maintenance" and control.mode_state is not None:
            states.append(control.mode_state.state)
        if states and (run["state"] == "pending" or "paused" in states):
            raise Broken(f"run {run['id']} is {run['state']} under {states}")

    def _read(self, cls: Any, id: str) -> Any:
        raw = self._store.get([Key(collection_of(cls), id)], 1.0).found[0].raw
        assert raw is not None
        return from_raw(cls, raw)
