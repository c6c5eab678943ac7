"""Setting up: wide scopes, tenants and keys; and a changed policy file applied to what exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from headgate.core.access import ApiKey, Role
from headgate.core.errors import NotFound
from headgate.core.plans import check_member
from headgate.core.policy import Policy
from headgate.core.scopes import LINE, SYSTEM, kind_scope
from headgate.core.tenant import Tenant, with_policy
from headgate.core.wide import Control
from headgate.flow import audit, fleet
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.ledger import Ledger
from headgate.store.documents import where
from headgate.store.transaction import Tx

DEMO_TENANTS: Mapping[str, str] = {"free-demo": "free", "pro-demo": "pro", "enterprise-demo": "enterprise"}


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key as its owner sees it, once: `token` is not stored."""

    key: ApiKey
    token: str


def prepare(deps: Deps, dispatcher: Dispatcher) -> None:
    """Everything a start needs: scopes exist, and the caps in force are the policy's (run-time overrides stay)."""
    policy = deps.policy
    caps: dict[str, int | None] = {SYSTEM: policy.system, LINE: policy.line.total}
    caps |= {kind_scope(kind): policy.kind_cap(kind) for kind in deps.kinds}
    fleet.ensure_scopes(deps, caps)
    for scope, cap in caps.items():
        control = deps.store.get(Control, scope)
        if control is not None and control.base != cap:
            fleet.rebase(deps, dispatcher, scope, cap, _policy_change(deps))
    for tenant in deps.store.query(Tenant, where(Tenant)):
        _apply_policy(deps, tenant.id)
    dispatcher.dispatch()


def create_tenant(deps: Deps, tenant_id: str, plan: str, *, quota_exempt: bool = False) -> Tenant:
    """The tenant, made unless it is there."""

    def body(tx: Tx) -> Tenant:
        found = tx.get(Tenant, tenant_id)
        if found is not None:
            return found
        tenant = Tenant(id=tenant_id, plan=plan, cap=deps.policy.plan(plan).concurrent, created_at=tx.now,
                        weight=deps.policy.plan(plan).weight, quota_exempt=quota_exempt)  # fmt: skip
        tenant = with_policy(tenant, deps.policy)
        tx.put(tenant)
        return tenant

    return deps.store.transact(body, tenant_id)


def issue_key(deps: Deps, tenant_id: str | None, role: Role, name: str, user: str | None = None,
              why: audit.Reason | None = None) -> IssuedKey:  # fmt: skip
    """A new API key, of a member if `user` is given. Only its hash is stored; the token cannot be shown again.

    Raises LimitReached where the plan allows no further member.
    """
    key_id, secret = deps.ids.new("key"), deps.ids.secret()
    token = f"hg_{key_id.removeprefix('key_')}_{secret}"
    why = why or audit.Reason(id=deps.ids.new("aud"), actor="system:setup")

    def body(tx: Tx) -> ApiKey:
        if tenant_id is not None and user is not None:
            _check_member(tx, deps.policy, tenant_id, user)
        key = ApiKey(
            id=key_id, tenant=tenant_id, role=role, hash=hash_token(token), name=name, created_at=tx.now, user=user
        )
        tx.create(key)
        audit.record(tx, why, "key.issued", f"key:{key_id}", None, _visible(key), tenant_id)
        return key

    return IssuedKey(deps.store.transact(body, tenant_id or f"key:{key_id}"), token)


def revoke_key(deps: Deps, key_id: str, why: audit.Reason) -> ApiKey:
    """The key, good for nothing from now on; other processes may believe it for half a minute. Raises NotFound."""

    def body(tx: Tx) -> ApiKey:
        key = tx.get(ApiKey, key_id)
        if key is None:
            raise NotFound(f"There is no key {key_id!r}.")
        if key.revoked_at is not None:
            return key
        after = replace(key, revoked_at=tx.now)
        tx.put(after)
        audit.record(tx, why, "key.revoked", f"key:{key_id}", _visible(key), _visible(after), key.tenant)
        return after

    return deps.store.transact(body, f"key:{key_id}")


def _check_member(tx: Tx, policy: Policy, tenant_id: str, user: str) -> None:
    """Every key of a member is issued under the tenant's lock, so that two at once cannot both be the last."""
    ledger = Ledger.open(tx, tenant_id, policy)
    keys = tx.hint(ApiKey, where(ApiKey, ("tenant", "==", tenant_id)))
    active = {key.user for key in keys if key.user is not None and key.revoked_at is None}
    check_member(user, active, policy.plan(ledger.tenant.plan))
    ledger.close()


def _visible(key: ApiKey) -> dict[str, object]:
    return {"name": key.name, "role": str(key.role), "user": key.user, "revokedAt": key.revoked_at}


def hash_token(token: str) -> str:
    """What is stored of a token. It has 256 random bits, so a plain SHA-256 cannot be searched."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def knows_key(deps: Deps, token: str) -> bool:
    """Whether the store holds the key of this token."""
    parts = token.split("_", 2)
    key = deps.store.get(ApiKey, f"key_{parts[1]}") if len(parts) == 3 else None
    return key is not None and key.hash == hash_token(token)


def create_demo(deps: Deps) -> dict[str, object]:
    """A demo tenant per plan with an OWNER service key each, and an operator's key: the content of demo.json but `url`."""
    tenants = {}
    for tenant_id, plan in DEMO_TENANTS.items():
        create_tenant(deps, tenant_id, plan, quota_exempt=True)
        tenants[tenant_id] = {"plan": plan, "apiKey": issue_key(deps, tenant_id, Role.OWNER, "demo").token}
    operator = issue_key(deps, None, Role.OPERATOR, "demo operator")
    return {"operator": {"apiKey": operator.token}, "tenants": tenants}


def _policy_change(deps: Deps) -> audit.Reason:
    return audit.Reason(id=deps.ids.new("aud"), actor="system:policy", reason=f"policy {deps.policy.version}")


def _apply_policy(deps: Deps, tenant_id: str) -> None:
    why = _policy_change(deps)

    def body(tx: Tx) -> None:
        ledger = Ledger.open(tx, tenant_id, deps.policy)
        after = with_policy(ledger.tenant, deps.policy)
        if after == ledger.tenant:
            return
        audit.record(tx, why, "limit.base", f"tenant:{tenant_id}", _shown(ledger.tenant), _shown(after), tenant_id)
        ledger.tenant = replace(after, capped_at=tx.now)
        ledger.touched += list(after.parked)  # whatever limit was lifted wakes who waited for it
        ledger.close()

    deps.store.transact(body, tenant_id)


def _shown(tenant: Tenant) -> dict[str, object]:
    """What the policy says of a tenant, as audit records tell it."""
    scopes = {**tenant.defaults, **tenant.base}
    return {"tenant": tenant.cap, "weight": tenant.weight, **scopes}
