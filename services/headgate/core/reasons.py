"""Why a run waits: the closed list of reason tokens, in their order, and for each what people are told.

One table. A token is there when its fact holds; those that do not `block` say something about the wait but do not keep
the run from starting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from headgate.core.run import Run
from headgate.core.scopes import SYSTEM, TENANT, full_name, kind_scope, scope_type
from headgate.core.tenant import Tenant, full


class Reason(StrEnum):
    """The list of SPEC 4, in its order. `SCOPE_PAUSED` and `SCOPE_FULL` are followed by `:` and what."""

    TENANT_PAUSED = "TENANT_PAUSED"
    TENANT_SUSPENDED = "TENANT_SUSPENDED"
    SCOPE_PAUSED = "SCOPE_PAUSED"
    SYSTEM_DRAINING = "SYSTEM_DRAINING"
    SYSTEM_MAINTENANCE = "SYSTEM_MAINTENANCE"
    PRESSURE_SLOW = "PRESSURE_SLOW"
    SCOPE_FULL = "SCOPE_FULL"
    NOT_BEFORE = "NOT_BEFORE"
    INPUT = "INPUT"
    HOST_MEMORY = "HOST_MEMORY"
    GITHUB_THROTTLED = "GITHUB_THROTTLED"
    BEHIND_FAIR_SHARE = "BEHIND_FAIR_SHARE"
    BEHIND_PRIORITY = "BEHIND_PRIORITY"
    NEXT = "NEXT"


@dataclass(frozen=True, slots=True)
class Words:
    """What people are told: why it waits, and what would unblock it. `{scope}` is put in. `foreseen` = it passes by
    itself as runs end, so that a wait can be estimated."""

    why: str
    unblock: str
    blocks: bool = True
    foreseen: bool = False


TABLE: Mapping[Reason, Words] = MappingProxyType(
    {
        Reason.TENANT_PAUSED: Words("The tenant is paused.", "Resuming the tenant."),
        Reason.TENANT_SUSPENDED: Words("The tenant is not active.", "Support restoring the tenant."),
        Reason.SCOPE_PAUSED: Words("{scope} is paused.", "Resuming {scope}."),
        Reason.SYSTEM_DRAINING: Words(
            "The system drains: it takes no new work, and finishes what waits.",
            "Nothing is needed: a drain does not keep this run from starting.",
            blocks=False,
            foreseen=True,
        ),
        Reason.SYSTEM_MAINTENANCE: Words(
            "The system is under maintenance and starts nothing.", "An operator ending the maintenance."
        ),
        Reason.PRESSURE_SLOW: Words(
            "The system starts runs slowly, because it is under pressure or recovers.",
            "The pressure falling, which ends by itself as work is done.",
            foreseen=True,
        ),
        Reason.SCOPE_FULL: Words(
            "Every slot of {scope} is taken.", "A run of {scope} ending, or a higher limit of {scope}.", foreseen=True
        ),
        Reason.NOT_BEFORE: Words("Its moment has not come: see notBefore.", "The moment of notBefore."),
        Reason.INPUT: Words("It waits for an answer.", "Giving it the input it asked for."),
        Reason.HOST_MEMORY: Words(
            "The host has less memory free than the run may use.",
            "Other runs ending, or a lower limits.memoryBytes.",
            foreseen=True,
        ),
        Reason.GITHUB_THROTTLED: Words("GitHub limits how many runner tokens it gives.", "GitHub's limit passing."),
        Reason.BEHIND_FAIR_SHARE: Words(
            "Another tenant has had less than its share and goes first.",
            "Slots of the fleet becoming free.",
            foreseen=True,
        ),
        Reason.BEHIND_PRIORITY: Words(
            "Runs of a higher priority stand ahead of it.", "Those ahead starting, or a higher priority.", foreseen=True
        ),
        Reason.NEXT: Words("Nothing blocks it: it starts with the next free slot.", "Nothing is needed.", False, True),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the reasons are made of. `full` = wide scopes without a free slot; `held_back` = tokens that dispatch's brakes
    put on this run; `outranked` = a tenant with a smaller turn offers runs for the same wide slots."""

    run: Run
    tenant: Tenant
    mode: str = "normal"
    closed: Collection[str] = ()
    full: Collection[str] = ()
    held_back: frozenset[str] = frozenset()
    outranked: bool = False
    ahead_by_priority: int = 0


def reasons(facts: Facts) -> tuple[str, ...]:
    """The tokens that hold, in the order of the list."""
    return tuple(token for reason in Reason for token in _tokens(reason, facts)) or (str(Reason.NEXT),)


def reason_of(token: str) -> Reason:
    """`SCOPE_FULL:repo` gives SCOPE_FULL."""
    return Reason(token.partition(":")[0])


def words(token: str) -> Words:
    """What people are told about a token, with its scope put in."""
    found, scope = TABLE[reason_of(token)], token.partition(":")[2]
    return Words(
        found.why.format(scope=_the(scope)), found.unblock.format(scope=_the(scope)), found.blocks, found.foreseen
    )


def blocking(tokens: Collection[str]) -> str:
    """The first of the tokens that keeps the run from starting; NEXT if none does."""
    return next((token for token in tokens if TABLE[reason_of(token)].blocks), str(Reason.NEXT))


def foreseeable(tokens: Collection[str]) -> bool:
    """Whether the wait ends by itself as runs end: only then is it estimated."""
    return all(TABLE[reason_of(token)].foreseen for token in tokens)


def full_scopes(facts: Facts) -> tuple[str, ...]:
    """The scopes that have no slot for the run: `tenant` and local names first, then its kind, then `system`."""
    inside = tuple(scope for scope in (TENANT, *facts.run.scopes) if full(facts.tenant, scope))
    return inside + tuple(scope for scope in (kind_scope(facts.run.kind), SYSTEM) if scope in facts.full)


def _tokens(reason: Reason, facts: Facts) -> tuple[str, ...]:
    """The token of a reason, once for each scope it speaks of; empty when it does not hold."""
    if reason is Reason.SCOPE_PAUSED:
        return tuple(f"{reason}:{scope}" for scope in _paused(facts))
    if reason is Reason.SCOPE_FULL:
        return tuple(f"{reason}:{scope_type(scope)}" for scope in full_scopes(facts))
    return (str(reason),) if reason in facts.held_back or _holds(reason, facts) else ()


def _holds(reason: Reason, facts: Facts) -> bool:
    run, tenant = facts.run, facts.tenant
    return {
        Reason.TENANT_PAUSED: TENANT in tenant.gates,
        Reason.TENANT_SUSPENDED: tenant.status != "active",
        Reason.SYSTEM_DRAINING: facts.mode == "draining",
        Reason.SYSTEM_MAINTENANCE: facts.mode == "maintenance",
        Reason.NOT_BEFORE: run.delayed and run.waiting is None,
        Reason.INPUT: run.delayed and run.waiting is not None,
        Reason.BEHIND_FAIR_SHARE: facts.outranked,
        Reason.BEHIND_PRIORITY: facts.ahead_by_priority > 0,
    }.get(reason, False)


def _paused(facts: Facts) -> tuple[str, ...]:
    inside = tuple(full_name(facts.tenant.id, s) for s in facts.run.scopes if s in facts.tenant.gates)
    return inside + ((kind_scope(facts.run.kind),) if facts.run.kind in facts.closed else ())


def _the(scope: str) -> str:
    """A scope in a sentence."""
    known = {"tenant": "the tenant", "user": "the user", "org": "the organisation", "repo": "the repository"}
    return known.get(scope) or {"kind": "the kind", "system": "the system"}.get(scope, scope)
