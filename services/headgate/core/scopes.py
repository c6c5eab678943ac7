"""Scopes: the things that have a limit, and their names.

Users, organisations and repositories lie *inside* a tenant: their local names (`user:ada`, `org:acme`,
`repo:acme/web`) are what a tenant's document speaks of; the full names (`repo:pro-demo/acme/web`) are what
people and receipts see. `system` and `kind:git` are wide: every tenant shares them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SYSTEM = "system"
LINE = "line:system"
TENANT = "tenant"
"""Local name of the tenant itself, as a gate knows it."""


NAMED = ("system", "kind:K", "tenant:T", "user:T/U", "org:T/O", "repo:T/O/NAME")
"""How people name scopes."""

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]{0,127}")
_INSIDE = {
    "user": re.compile(r".{1,200}"),
    "org": re.compile(r"[A-Za-z0-9._-]{1,200}"),
    "repo": re.compile(r"(?=.{1,200}$)[A-Za-z0-9._-]+/[A-Za-z0-9._-]+"),
}


class Affiliation(NamedTuple):
    """What a run belongs to inside its tenant."""

    user: str | None
    org: str | None
    repo: str | None


def kind_scope(kind: str) -> str:
    """The wide scope of a kind: `kind:git`."""
    return f"kind:{kind}"


def local_scopes(of: Affiliation) -> tuple[str, ...]:
    """The scopes inside its tenant that a run belongs to, in the order in which they are checked."""
    named = (("user", of.user), ("org", of.org), ("repo", of.repo))
    return tuple(f"{kind}:{name}" for kind, name in named if name is not None)


def full_name(tenant: str, local: str) -> str:
    """`("pro-demo", "repo:acme/web")` gives `repo:pro-demo/acme/web`; wide names stay as they are."""
    if local == TENANT:
        return f"tenant:{tenant}"
    kind, _, name = local.partition(":")
    return f"{kind}:{tenant}/{name}" if kind in ("user", "org", "repo") else local


def split_name(name: str) -> tuple[str | None, str]:
    """The tenant and the local name of a scope that people name: `repo:pro-demo/acme/web` gives `("pro-demo",
    "repo:acme/web")`; of a wide one the tenant is None. Raises ValueError saying what is wanted."""
    kind, _, rest = name.partition(":")
    tenant, _, local = rest.partition("/")
    if name == SYSTEM or (kind == "kind" and _ID.fullmatch(rest)):
        return None, name
    if kind == TENANT and _ID.fullmatch(rest):
        return rest, TENANT
    if kind in _INSIDE and _ID.fullmatch(tenant) and _INSIDE[kind].fullmatch(local) and local.isprintable():
        return tenant, f"{kind}:{local}"
    raise ValueError(f"must be one of {', '.join(NAMED)}")


def all_scopes(tenant: str, of: Affiliation, kind: str) -> tuple[str, ...]:
    """Full names of every scope a run holds a slot in while it is in flight."""
    inside = (full_name(tenant, local) for local in local_scopes(of))
    return (SYSTEM, f"tenant:{tenant}", *inside, kind_scope(kind))


def scope_type(name: str) -> str:
    """`repo:pro-demo/acme/web` gives `repo`: the word used in `SCOPE_FULL:repo` and in metrics."""
    return name.partition(":")[0]
