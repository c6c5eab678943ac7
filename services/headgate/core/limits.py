"""Limits changed at run time: what stands over the policy's, since when, by whom and until when."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.core.scopes import TENANT, scope_type

MOST_OVERRIDES = 200
"""Of one tenant: its document carries them, and every commit of the tenant writes it."""
SETTABLE = ("system", "kind:K", "line:system", "tenant:T", "user:T/U", "org:T/O", "repo:T/O/NAME")
"""Scopes whose limit can be changed at run time, as people name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A limit in force over the policy's. `id` is its audit record's; `base` the policy's limit when it was set; `until`
    ms since 1970, None = until it is taken back; `operator` = not by the tenant itself, which cannot undo it then."""

    id: str
    limit: int
    base: int | None
    by: str
    reason: str
    since: int
    until: int | None = None
    operator: bool = True


def over(override: Override, now: int) -> bool:
    """Whether its time is over."""
    return override.until is not None and override.until <= now


def own_refusal(scope: str, limit: int | None, plan_concurrent: int, standing: Override | None) -> str | None:
    """Why a tenant may not set this limit (None = back to the policy's) of its own `scope` itself; None = it may."""
    if standing is not None and standing.operator:
        return "an operator has set this limit: only an operator changes it or takes it back"
    if limit is not None and limit > plan_concurrent:
        return f"the plan allows {plan_concurrent} concurrent runs: give at most {plan_concurrent}"
    if scope != TENANT and scope_type(scope) not in ("user", "org", "repo"):
        return "a tenant sets limits of its own users, repositories and organisations, and lowers its own"
    return None
