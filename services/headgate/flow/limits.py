"""Limits at run time: which are in force and why, setting one over the policy's, and taking it back when its time is over.

Inside a tenant a change is one commit of the tenant: it wakes who waited for the scope (Ledger, rule 3), and a dispatch
starts them at once. A wide scope is closed and dealt anew (flow.fleet). Neither ends a run. If we die after the commit,
the limit stands and the next dispatch or sweep starts who may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from headgate.core import tenant as tenants
from headgate.core.access import Caller, Permission, Role
from headgate.core.errors import Forbidden, InvalidRequest, NotFound
from headgate.core.limits import MOST_OVERRIDES, SETTABLE, Override, over, own_refusal
from headgate.core.run import Run
from headgate.core.scopes import LINE, TENANT, full_name, kind_scope, split_name
from headgate.core.tenant import Tenant
from headgate.core.wide import Control
from headgate.flow import audit, fleet
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.ledger import Ledger
from headgate.store.documents import where
from headgate.store.transaction import Tx

Why = audit.Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    """One scope's limit: the policy's, what stands over it, the number in force (None = no limit), and slots in use."""

    scope: str
    base: int | None
    override: Override | None
    effective: int | None
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is asked: `limit` None = back to the policy's; `until` ms since 1970, None = until it is taken back."""

    scope: str
    limit: int | None
    until: int | None = None


# --- looking


def every_limit(deps: Deps) -> list[LimitView]:
    """Wide scopes and the line, then every tenant with those of its scopes that are used or have a limit of their own."""
    found = [_wide_view(deps, control) for control in deps.store.query(Control, where(Control))]
    for tenant in deps.store.every(Tenant):
        found += tenant_limits(tenant)
    return found


def tenant_limits(tenant: Tenant) -> list[LimitView]:
    """The tenant itself, and its scopes that are used or have a limit set at run time."""
    used = {scope for holder in tenant.holders.values() for scope in holder.scopes}
    return [_inner_view(tenant, scope) for scope in (TENANT, *sorted((used | set(tenant.overrides)) - {TENANT}))]


def _inner_view(tenant: Tenant, scope: str) -> LimitView:
    return LimitView(
        scope=full_name(tenant.id, scope),
        base=tenants.base_limit(tenant, scope),
        override=tenant.overrides.get(scope),
        effective=tenants.limit(tenant, scope),
        used=tenants.use(tenant, scope),
    )


def _wide_view(deps: Deps, control: Control) -> LimitView:
    states = ["queued"] if control.id == LINE else ["pending", "running"]
    of_kind = [("kind", "==", control.id.partition(":")[2])] if control.id.startswith("kind:") else []
    return LimitView(
        scope=control.id,
        base=control.base,
        override=control.override,
        effective=control.cap,
        used=deps.store.count(where(Run, ("state", "in", states), *of_kind)),
    )


# --- changing


def put_limit(deps: Deps, dispatcher: Dispatcher, caller: Caller, asked: Change, why: Why,
              of: str | None = None) -> LimitView:  # fmt: skip
    """Set a limit, or take it back, as this caller may; `of` = it must be one of this tenant.

    Raises InvalidRequest (field named), Forbidden, NotFound, Unavailable.
    """
    _check(deps, asked)
    tenant_id, local = _target(asked.scope)
    if of is not None and tenant_id != of:
        if tenant_id is not None and not caller.sees(tenant_id):
            raise NotFound(f"There is no tenant {tenant_id!r}.")
        raise InvalidRequest(f"scope must be one of tenant:{of}, user:{of}/…, org:{of}/…, repo:{of}/….", field="scope")
    if tenant_id is None:
        return _wide_view(deps, _set_wide(deps, dispatcher, asked, why))
    if not caller.may(Permission.SETTINGS_UPDATE):
        raise Forbidden(f"Limits need the permission settings:update, which {caller.role} does not have.")
    setting = _Setting(deps, tenant_id, local, asked, why, by_operator=caller.role is Role.OPERATOR)
    tenant = deps.store.transact(setting.body, tenant_id)
    dispatcher.dispatch()
    return _inner_view(deps.store.get(Tenant, tenant_id) or tenant, local)


def _check(deps: Deps, asked: Change) -> None:
    if asked.limit is None and asked.until is not None:
        raise InvalidRequest("until is of use with a limit only: null takes the limit back at once.", field="until")
    if asked.until is not None and asked.until <= deps.store.now():
        raise InvalidRequest("until must lie in the future.", field="until")


def _target(scope: str) -> tuple[str | None, str]:
    """Tenant and local name of a scope whose limit can be set. Raises InvalidRequest."""
    if scope == LINE:
        return None, LINE
    try:
        return split_name(scope)
    except ValueError:
        own = " The line's bounds of tenants and users come from the policy alone." if scope.startswith("line:") else ""
        remedy = f"a limit can be set for {', '.join(SETTABLE)}.{own}"
        raise InvalidRequest(f"scope is {scope[:200]!r}; {remedy}", field="scope") from None


def _set_wide(deps: Deps, dispatcher: Dispatcher, asked: Change, why: Why) -> Control:
    if deps.store.get(Control, asked.scope) is None:
        known = ", ".join(kind_scope(kind) for kind in deps.kinds)
        raise InvalidRequest(f"scope is {asked.scope!r}; known kinds are {known}.", field="scope")
    return fleet.set_cap(deps, dispatcher, asked.scope, asked.limit, why, until=asked.until)


@dataclass(frozen=True, slots=True)
class _Setting:
    """One change inside a tenant, as a transaction's body. `only` = do nothing unless the override of that id stands."""

    deps: Deps
    tenant_id: str
    scope: str
    asked: Change
    why: Why
    by_operator: bool
    only: str | None = None

    def body(self, tx: Tx) -> Tenant:
        """The tenant with the limit, who waited for it woken, the record written. Raises Forbidden, InvalidRequest."""
        ledger = Ledger.open(tx, self.tenant_id, self.deps.policy)
        before = ledger.tenant
        standing = before.overrides.get(self.scope)
        if self.only is not None and (standing is None or standing.id != self.only):
            return before
        self._check(before, standing)
        if standing is None and self.asked.limit is None:
            return before
        ledger.tenant = tenants.overridden(before, self.scope, self._override(before, tx.now), tx.now)
        ledger.touched.append(self.scope)
        self._record(tx, before, ledger.tenant)
        ledger.close()
        return ledger.tenant

    def _check(self, tenant: Tenant, standing: Override | None) -> None:
        if not self.by_operator:
            concurrent = self.deps.policy.plan(tenant.plan).concurrent
            why_not = own_refusal(self.scope, self.asked.limit, concurrent, standing)
            if why_not is not None:
                raise Forbidden(f"{full_name(tenant.id, self.scope)}: {why_not}.", field="limit")
        if standing is None and self.asked.limit is not None and len(tenant.overrides) >= MOST_OVERRIDES:
            raise InvalidRequest(
                f"{tenant.id} has {MOST_OVERRIDES} limits set at run time, which is the most: take one back, or put it "
                "into the policy file.",
                field="scope",
            )

    def _override(self, tenant: Tenant, now: int) -> Override | None:
        if self.asked.limit is None:
            return None
        base = tenants.base_limit(tenant, self.scope)
        made = fleet.override_of(self.why, self.asked.limit, base, now, self.asked.until)
        return replace(made, operator=self.by_operator)

    def _record(self, tx: Tx, before: Tenant, after: Tenant) -> None:
        was, now = (
            fleet.shown(tenants.base_limit(t, self.scope), t.overrides.get(self.scope)) for t in (before, after)
        )
        action = "limit.reset" if self.asked.limit is None else "limit.set"
        audit.record(tx, self.why, action, full_name(before.id, self.scope), was, now, before.id)


# --- expiry


def expire(deps: Deps, dispatcher: Dispatcher, subject: Tenant | Control, now: int) -> int:
    """Take back those limits of a tenant or wide scope whose time is over; how many. Each has a record of its own."""
    done = 0
    for scope, override in _overdue(subject, now):
        why = Why(id=deps.ids.new("aud"), actor="system:sweep", reason="the limit's time is over")
        if isinstance(subject, Control):
            fleet.set_cap(deps, dispatcher, scope, None, why, only=override.id)
        else:
            asked = Change(scope=full_name(subject.id, scope), limit=None)
            setting = _Setting(deps, subject.id, scope, asked, why, by_operator=True, only=override.id)
            deps.store.transact(setting.body, subject.id)
        done += 1
    return done


def _overdue(subject: Tenant | Control, now: int) -> Iterator[tuple[str, Override]]:
    standing = subject.overrides if isinstance(subject, Tenant) else {subject.id: subject.override}
    for scope, override in standing.items():
        if override is not None and over(override, now):
            yield scope, override
