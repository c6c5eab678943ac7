"""Who may do what: roles of a tenant's members and keys, and platform operators apart from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """From most to least. OPERATOR belongs to the platform, not to a tenant."""

    OPERATOR = "OPERATOR"
    OWNER = "OWNER"
    ADMIN = "ADMIN"
    DEVELOPER = "DEVELOPER"
    VIEWER = "VIEWER"


class Permission(StrEnum):
    """What an endpoint asks for."""

    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    TENANT_READ = "tenant:read"
    SETTINGS_UPDATE = "settings:update"
    KEYS_MANAGE = "keys:manage"
    PLATFORM_READ = "platform:read"
    PLATFORM_OPERATE = "platform:operate"


_VIEW = frozenset({Permission.RUNS_READ, Permission.TENANT_READ})
_DEVELOP = _VIEW | {Permission.RUNS_WRITE}
_ADMINISTER = _DEVELOP | {Permission.SETTINGS_UPDATE}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: _VIEW,
        Role.DEVELOPER: _DEVELOP,
        Role.ADMIN: _ADMINISTER,
        Role.OWNER: _ADMINISTER | {Permission.KEYS_MANAGE},
        Role.OPERATOR: frozenset(Permission),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a credential, its tenant (None for operators), its role, and the user it *is*, if it is personal."""

    credential: str
    role: Role
    tenant: str | None = None
    user: str | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the role has the permission."""
        return permission in PERMISSIONS[self.role]

    def sees(self, tenant: str) -> bool:
        """Whether the tenant exists for this caller: its own, or any for an operator."""
        return self.role is Role.OPERATOR or self.tenant == tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A stored key: only the hash of its secret is kept. `tenant` is None for an operator's."""

    id: str
    tenant: str | None
    role: Role
    hash: str
    name: str
    created_at: int
    user: str | None = None
    revoked_at: int | None = None
