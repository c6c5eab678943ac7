"""Who may do what: the whole table of roles and permissions, and which tenants a caller sees."""

from __future__ import annotations

import pytest

from headgate.core.access import PERMISSIONS, Caller, Permission, Role

TABLE = """
                   VIEWER DEVELOPER ADMIN OWNER OPERATOR
runs:read          yes    yes       yes   yes   yes
tenant:read        yes    yes       yes   yes   yes
runs:write         no     yes       yes   yes   yes
settings:update    no     no        yes   yes   yes
keys:manage        no     no        no    yes   yes
platform:read      no     no        no    no    yes
platform:operate   no     no        no    no    yes
"""

ROLES, *ROWS = (line.split() for line in TABLE.strip().splitlines())
CELLS = [(role, row[0], word == "yes") for row in ROWS for role, word in zip(ROLES, row[1:], strict=True)]


def test_the_table_is_complete() -> None:
    assert set(ROLES) == set(Role) == set(PERMISSIONS)
    assert {row[0] for row in ROWS} == set(Permission)


@pytest.mark.parametrize(("role", "permission", "allowed"), CELLS)
def test_a_role_may(role: str, permission: str, allowed: bool) -> None:
    caller = Caller(credential="key_1", role=Role(role), tenant="acme")
    assert caller.may(Permission(permission)) is allowed


@pytest.mark.parametrize(
    ("role", "own", "tenant", "seen"),
    [
        (Role.OWNER, "acme", "acme", True),
        (Role.VIEWER, "acme", "acme", True),
        (Role.OWNER, "acme", "other", False),
        (Role.OWNER, "acme", "ACME", False),
        (Role.OWNER, None, "acme", False),
        (Role.OPERATOR, None, "acme", True),
    ],
)
def test_who_sees_which_tenant(role: Role, own: str | None, tenant: str, seen: bool) -> None:
    assert Caller(credential="key_1", role=role, tenant=own).sees(tenant) is seen


def test_the_table_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        PERMISSIONS[Role.VIEWER] = frozenset(Permission)  # type: ignore[index] # that is the point
