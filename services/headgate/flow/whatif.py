"""What-if: stored receipts and runs as demands, present and proposed limits as grounds, one replay of each. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headgate.core import whatif, wide
from headgate.core.errors import InvalidRequest
from headgate.core.policy import Policy
from headgate.core.scopes import LINE, SYSTEM, split_name
from headgate.core.tenant import Tenant, with_policy
from headgate.core.whatif import Comparison, Ground
from headgate.core.wide import Control
from headgate.flow.demands import Reading
from headgate.flow.deps import Deps
from headgate.store.documents import where

TYPES = ("user", "repo", "org")

Limits = Mapping[str, int | None]
"""Proposed limits by scope as people name them, or (`user`, `repo`, `org`) of all of a type; None = the policy's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """The answer. `agreeing` of `receipts` are what the replay of the present limits says, too."""

    since: int
    until: int
    receipts: int
    agreeing: int
    tenants: tuple[Comparison, ...]


def what_if(deps: Deps, proposed: Limits | Policy, since: int, tenant: str | None = None) -> WhatIf:
    """Replay what was submitted since `since` (ms) under present and proposed limits; the answer is of one tenant or all,
    the replay always of all, for they share the fleet. Raises InvalidRequest (field named), Unavailable."""
    now = deps.store.now()
    if since >= now:
        raise InvalidRequest("since must lie in the past.", field="since")
    grounds = _Grounds(deps)
    then = grounds.under(proposed) if isinstance(proposed, Policy) else grounds.changed_by(proposed)
    demands = list(Reading(deps, grounds.present, since, now).demands())
    fates = [whatif.replay(demands, ground, since, now) for ground in (grounds.present, then)]
    told = [replace(d, counted=d.counted and tenant in (None, d.run.tenant)) for d in demands]
    return WhatIf(
        since=since,
        until=now,
        receipts=sum(d.times for d in told if d.counted),
        agreeing=whatif.agreeing(told, fates[0]),
        tenants=whatif.compare(told, *fates),
    )


class _Grounds:
    """The limits of this moment, and what others would make of them."""

    def __init__(self, deps: Deps) -> None:
        self._policy = deps.policy
        self._controls = {control.id: control for control in deps.store.query(Control, where(Control))}
        caps = {scope: control.cap for scope, control in self._controls.items()}
        self.present = Ground(
            policy=deps.policy,
            tenants={tenant.id: whatif.bare(tenant) for tenant in deps.store.every(Tenant)},
            wide={scope: cap for scope, cap in caps.items() if scope != LINE},
            line=_or(caps.get(LINE), deps.policy.line.total),
        )

    def under(self, policy: Policy) -> Ground:
        """Another policy: what was set at run time keeps standing over it."""
        bases = {scope: policy.kind_cap(scope.partition(":")[2]) for scope in self._controls}
        bases |= {SYSTEM: policy.system, LINE: policy.line.total}
        caps = {scope: wide.rebased(control, bases[scope]).cap for scope, control in self._controls.items()}
        line = _or(caps.pop(LINE, None), policy.line.total)
        tenants = {tenant.id: with_policy(tenant, policy) for tenant in self.present.tenants.values()}
        return Ground(policy=policy, tenants=tenants, wide=caps, line=line)

    def changed_by(self, limits: Limits) -> Ground:
        """The present limits but for those named. Raises InvalidRequest."""
        ground = self.present
        for scope, limit in limits.items():
            ground = self._changed(ground, scope, limit)
        return ground

    def _changed(self, ground: Ground, scope: str, limit: int | None) -> Ground:
        if scope in TYPES:
            value = getattr(self._policy, scope) if limit is None else limit
            return replace(ground, tenants={t.id: _of_type(t, scope, value) for t in ground.tenants.values()})
        tenant_id, local = (None, LINE) if scope == LINE else self._target(scope)
        if tenant_id is None:
            cap = wide.overridden(self._controls[scope], None).cap if limit is None else limit
            if scope == LINE:
                return replace(ground, line=_or(cap, self._policy.line.total))
            return replace(ground, wide={**ground.wide, scope: cap})
        tenant = ground.tenants[tenant_id]
        limits = {other: cap for other, cap in tenant.limits.items() if other != local}
        changed = replace(tenant, limits=limits if limit is None else {**limits, local: limit})
        return replace(ground, tenants={**ground.tenants, tenant_id: changed})

    def _target(self, scope: str) -> tuple[str | None, str]:
        field = f"limits.{scope[:200]}"
        try:
            tenant_id, local = split_name(scope)
        except ValueError as error:
            also = f"{LINE}, or all of a type: {', '.join(TYPES)}"
            raise InvalidRequest(f"{scope[:200]!r} {error}, {also}.", field=field) from None
        if tenant_id is None and scope not in self._controls:
            known = ", ".join(sorted(self._controls))
            raise InvalidRequest(f"There is no scope {scope!r}; there are {known}.", field=field)
        if tenant_id is not None and tenant_id not in self.present.tenants:
            raise InvalidRequest(f"There is no tenant {tenant_id!r}.", field=field)
        return tenant_id, local


def _or(number: int | None, otherwise: int) -> int:
    return otherwise if number is None else number


def _of_type(tenant: Tenant, kind: str, limit: int | None) -> Tenant:
    return replace(tenant, defaults={**tenant.defaults, kind: limit})
