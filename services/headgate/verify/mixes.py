"""The mixes: what the histories of the simulator are made of. A seed has one; its operations come in rounds, in any order.

The first ten are those of the model in which the line's three rules were found; each of them once broke a wrong rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from headgate.core.policy import Execution, LineBounds, Plan, Policy

QUICK = Execution(lease_seconds=6.0, heartbeat_seconds=2.0, backoff_min_seconds=1.0, publish_grace_seconds=3.0)


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: a verb of `Operations` and its facts. A fact that is a tuple is drawn from each time."""

    verb: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def drawn(self, rng: Random) -> Op:
        """The operation as it happens now."""
        facts = self.facts.items()
        return Op(self.verb, {name: rng.choice(of) if isinstance(of, tuple) else of for name, of in facts})

    @property
    def parts(self) -> tuple[Op, ...]:
        """What happens at the same moment in the same process, so that one commit folds it; else the operation itself."""
        parts: list[Op] = self.facts["of"] if self.verb == "together" else [self]
        return tuple(parts)


LINE = LineBounds(total=30, per_tenant=20, per_user=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Caps and operations. `first` happens before, one by one; `made` are wide caps with which the shards were made."""

    tenants: Mapping[str, int]
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    kinds: Mapping[str, int]
    system: int
    made: Mapping[str, int] = field(default_factory=dict)
    line: LineBounds = LINE
    org: int | None = None
    user: int | None = None
    repo: int | None = None
    first: tuple[Op, ...] = ()
    ops: tuple[Op, ...]

    @property
    def policy(self) -> Policy:
        """The policy under which it happens: each tenant has a plan of its own name."""
        plans = {name: _plan(name, cap) for name, cap in self.tenants.items()}
        kinds = {kind: self.made.get(kind, cap) for kind, cap in self.kinds.items()}
        return Policy(plans=plans, system=self.made.get("system", self.system), kinds=kinds, line=self.line,
                      user=self.user, repo=self.repo, org=self.org, execution=QUICK)  # fmt: skip


def _plan(name: str, cap: int) -> Plan:
    return Plan(name=name, concurrent=cap, monthly_runs=None, repositories=None, members=None, priority_ceiling=9)


def submit(tenant: object, name: object = None, kind: object = "command", user: object = None, repo: object = None,
           **facts: object) -> Op:  # fmt: skip
    """Ask for a run. `fails` = how many of its attempts fail and may be tried again; -1 = it fails for good."""
    on_limit = facts.pop("on_limit", "queue")
    base = {"tenant": tenant, "name": name, "kind": kind, "user": user, "repo": repo, "on_limit": on_limit}
    return Op("submit", base | facts)


def together(*of: Op) -> Op:
    """Operations that one process gets at the same moment."""
    return Op("together", {"of": list(of)})


def cancel(name: object = None) -> Op:
    """Cancel the last run of that name; without one, any."""
    return Op("cancel", {"name": name})


def pause(tenant: object, scope: object = "tenant", mode: object = "hold", seconds: object = None) -> Op:
    """Put a gate up, for good or for so many seconds."""
    return Op("pause", {"tenant": tenant, "scope": scope, "mode": mode, "seconds": seconds})


def resume(tenant: object, scope: object = "tenant") -> Op:
    """Take it down."""
    return Op("resume", {"tenant": tenant, "scope": scope})


def limit(tenant: object, scope: object, cap: object) -> Op:
    """A cap inside a tenant; the scope `tenant` is the plan's."""
    return Op("limit", {"tenant": tenant, "scope": scope, "cap": cap})


def cap(scope: object, cap: object) -> Op:
    """The cap of a wide scope: `system` or a kind."""
    return Op("cap", {"scope": scope, "cap": cap})


def mode(name: object) -> Op:
    """The system's mode."""
    return Op("mode", {"name": name})


def close(kind: object, mode: object = "hold") -> Op:
    """Pause a kind for everybody."""
    return Op("close", {"kind": kind, "mode": mode})


def reopen(kind: object) -> Op:
    """Resume it."""
    return Op("reopen", {"kind": kind})


SWEEP, FREEZE, STOP = Op("sweep"), Op("freeze"), Op("stop")
"""A sweep out of turn; a process that stands still past its leases; one that is told to stop and hands its runs back."""

A, B, C, MIA, NOA, PIA, X, Y = "alpha", "beta", "gamma", "mia", "noa", "pia", "o/x", "o/y"
ONE, TWO = "command", "git"
RX, RY, UM, UN = f"repo:{X}", f"repo:{Y}", f"user:{MIA}", f"user:{NOA}"

MIXES: dict[str, Mix] = {
    "caps of two tenants": Mix(
        tenants={A: 2, B: 2}, limits={A: {RX: 1}}, kinds={ONE: 2}, system=2,
        ops=(submit(A, repo=X), submit(A, repo=X), submit(A, repo=Y), submit(B), submit(B, fails=1), cap("system", 1),
             cap("system", 3)),
    ),
    "kinds over users and repos": Mix(
        tenants={A: 3}, limits={A: {RX: 1, UM: 1, UN: 1}}, kinds={ONE: 1, TWO: 2}, system=3,
        ops=(submit(A, 1, ONE, MIA, X), submit(A, 2, TWO, MIA, X), submit(A, 3, TWO, NOA, X), submit(A, 4, ONE, NOA, Y),
             submit(A, 5, TWO, NOA, Y, fails=1), submit(A, 6, ONE, None, X), cancel(2), cancel(3)),
    ),
    "pauses": Mix(
        tenants={A: 2, B: 1, C: 2}, limits={A: {RX: 1}}, kinds={ONE: 1, TWO: 2}, system=2,
        ops=(submit(A, 1, ONE, None, X), submit(A, 2, TWO, None, X), submit(B, 3, ONE), submit(B, 4, TWO),
             submit(C, 5, TWO), pause(A), resume(A), pause(A, RX), resume(A, RX)),
    ),
    "modes and closed kinds": Mix(
        tenants={A: 2, B: 2}, kinds={ONE: 2, TWO: 1}, system=3,
        ops=(submit(A, 1, ONE), submit(A, 2, TWO), submit(B, 3, TWO), submit(B, 4, ONE), submit(A, 5, TWO),
             close(TWO), reopen(TWO), mode("maintenance"), mode("normal")),
    ),
    "limits inside a tenant": Mix(
        tenants={A: 3}, limits={A: {RX: 1, RY: 1}}, kinds={ONE: 3}, system=3,
        ops=(submit(A, 1, ONE, MIA, X), submit(A, 2, ONE, NOA, X), submit(A, 3, ONE, MIA, Y), submit(A, 4, ONE, NOA, Y),
             limit(A, RX, 2), limit(A, RX, 1), limit(A, "tenant", 1), limit(A, "tenant", 3), pause(A, UM), resume(A, UM)),
    ),
    "a short line": Mix(
        tenants={A: 2, B: 2}, limits={A: {RX: 1}}, kinds={ONE: 2, TWO: 1}, system=2,
        line=LineBounds(total=4, per_tenant=3, per_user=2),
        ops=(submit(A, 1, ONE, MIA, X), submit(A, 2, ONE, MIA, X), submit(A, 3, TWO, MIA, X), submit(A, 4, TWO, MIA),
             submit(B, 5, TWO), submit(B, 6, ONE), submit(B, 7, ONE), cap(ONE, 1), cancel(1)),
    ),
    "one shard": Mix(
        tenants={A: 2, B: 2}, kinds={ONE: 2}, system=2, made={"system": 1},
        ops=(submit(A, 1, fails=1), submit(A, 2), submit(B, 3, fails=1), submit(B, 4), submit(A, 5), cap(ONE, 1),
             cap(ONE, 2), cap("system", 1), pause(B), SWEEP),
    ),
    "the last first": Mix(
        tenants={A: 2}, limits={A: {RX: 1, UM: 1}}, kinds={ONE: 2, TWO: 1}, system=2,
        ops=(submit(A, 5, ONE, MIA, X, priority=0), submit(A, 4, TWO, NOA, X, priority=1),
             submit(A, 3, ONE, NOA, X, priority=2), submit(A, 2, TWO, MIA, Y, priority=3),
             submit(A, 1, ONE, MIA, priority=4), cancel(5), cancel(1), SWEEP, SWEEP),
    ),
    "folds": Mix(
        tenants={A: 2, B: 2}, limits={A: {RX: 1}}, kinds={ONE: 2, TWO: 1}, system=2,
        line=LineBounds(total=30, per_tenant=4, per_user=2),
        ops=(together(submit(A, 1, ONE, MIA, X), submit(A, 2, ONE, MIA, X), submit(A, 3, ONE, MIA, Y)),
             together(submit(A, 4, TWO, NOA, X), submit(A, 5, ONE, NOA)), together(submit(B, 6, ONE), submit(B, 7, TWO)),
             together(cancel(1), cancel(4), cancel(), submit(A, 8, ONE, None, X)), limit(A, RX, 2)),
    ),
    "late attempts": Mix(
        tenants={A: 2, B: 1}, limits={A: {RX: 1}}, kinds={ONE: 2}, system=2,
        ops=(submit(A, 1, ONE, None, X, fails=1), submit(A, 2, ONE, None, X), submit(B, 3, fails=1), submit(A, 4),
             FREEZE, SWEEP, cancel(3), cap("system", 1)),
    ),
}  # fmt: skip
"""Name → mix."""

ANY_SCOPE = ("tenant", UM, RX, "org:o")
ANYTHING = submit(
    (A, A, B, C), None, (ONE, TWO), (None, MIA, NOA), (None, X, Y, "p/z"), priority=(0, 2, 3, 5),
    on_limit=(None, "queue", "queue", "reject"), key=(None,) * 8 + ("k1", "k2"), not_before=(None,) * 9 + (4,),
    start_by=(None,) * 7 + (9,), fails=(0,) * 7 + (1, 9, -1),
)  # fmt: skip
BY_KEY = submit(
    (A, B), None, (ONE, TWO), None, (None, X), concurrency_key=("deploy", "docs"),
    on_limit=("skip", "cancel_in_progress"), fails=(0, 0, 1),
)  # fmt: skip

EVERYTHING = Mix(
    tenants={A: 5, B: 5, C: 1}, kinds={ONE: 4, TWO: 2}, system=4, org=3, user=3, repo=2,
    ops=(ANYTHING,) * 13 + (BY_KEY,) * 2 + (
        together(ANYTHING, ANYTHING, cancel(), cancel()),
        cancel(), cancel(), STOP, FREEZE,
        pause((A, B, C), ANY_SCOPE, ("reject", "hold", "hold", "drain", "drain_cancel"), (None, 8)),
        *(resume(tenant, scope) for tenant in (A, B, C) for scope in ANY_SCOPE[:1]),
        resume((A, B, C), ANY_SCOPE[1:]), limit((A, B), ANY_SCOPE, (1, 2, 5)),
        cap(("system", ONE, TWO), (1, 2, 3, 5, None)), mode(("normal", "normal", "draining", "maintenance")),
        close(TWO, ("hold", "reject")), reopen(TWO),
    ),
)  # fmt: skip

MIXES |= {
    "everything": EVERYTHING,
    "switches": replace(
        EVERYTHING,
        ops=(ANYTHING,) * 9 + (
            *(pause((A, B), ("tenant", RX), kept, 8) for kept in ("reject", "hold", "drain", "drain_cancel")),
            pause(A, "tenant", "reject"), resume(A), resume(B), mode("draining"), mode(("maintenance", "draining")),
            mode("normal"), close(TWO, ("hold", "reject")), reopen(TWO), together(cancel(), cancel(), cancel()), STOP,
        ),
    ),
    "deadlines": replace(
        EVERYTHING, system=1,
        ops=(submit((A, B), None, ONE, None, (None, X), not_before=(None, None, 3, 9), start_by=(None, 12, 40),
                    fails=(0, 0, 1)),) * 9 + (pause(A, ("tenant", RX), "hold", (4, 30)), resume(A), cancel()),
    ),
    "keys": replace(EVERYTHING, system=2, ops=(BY_KEY,) * 9 + (cancel(), STOP)),
    "a crowd at one door": replace(
        EVERYTHING, tenants={A: 3, B: 3}, org=1,
        ops=(together(*(submit(A, None, ONE, (MIA, NOA, PIA), (X, "p/z")),) * 3), together(cancel(), cancel(), cancel(), STOP),
             together(*(submit(A, None, TWO, None, (X, "q/z")),) * 2), limit(A, "org:o", (1, 2)), cancel()),
    ),
}  # fmt: skip

ORDER = (*MIXES, "everything", "switches", "switches")
"""Which seed has which mix, in turn: so that few histories have all of them."""


def mix_of(seed: int) -> str:
    """The name of the mix of a seed."""
    return ORDER[seed % len(ORDER)]
