"""The decision: may this run start now, does it wait, or is it refused? Pure: facts in, a value out.

The checks in their order, each the first that may speak:
fits → mode → pauses → quota → repositories → pressure → scopes → line bounds (only of what would wait).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from headgate.core.errors import Code
from headgate.core.pauses import MODES, STATUS_MODES
from headgate.core.plans import concurrency_reason
from headgate.core.policy import OnLimit, Policy, RunLimits
from headgate.core.repositories import fits
from headgate.core.retry_after import retry_after
from headgate.core.run import Run
from headgate.core.scopes import SYSTEM, TENANT, full_name, kind_scope, scope_type
from headgate.core.tenant import Gate, Tenant, full, limit, use

KEEPS_QUEUE = frozenset({"hold"})
"""Pause modes under which new submits are queued instead of refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WideView:
    """What admission knows beyond the tenant. `waiters` = somebody who could start is already waiting."""

    mode: str = "normal"
    closed: Mapping[str, str] = field(default_factory=dict)
    system_free: bool = True
    kind_free: bool = True
    waiters: bool = False
    system_used: int = 0
    system_cap: int | None = None
    kind_used: int = 0
    kind_cap: int | None = None
    pressure: str = "ok"
    held_back: str | None = None
    """A word of SPEC 4 when starts are held back though slots are free: a pace, the host's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """How many wait, where it matters to this run. `free` = the line as a whole has a place; if not, `total` is its
    bound (None: the policy's)."""

    free: bool
    user_waiting: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What decides, of a submitted run. `on_limit` None = the tenant's default, else the scopes' policy."""

    run: Run
    on_limit: OnLimit | None = None
    delayed: bool = False
    place: float = 0.0
    """Where, from 0 to 1, this caller stands among those who are told when to come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The facts of one moment. `line` is read only when the run would wait; without it its bounds are not checked."""

    tenant: Tenant
    wide: WideView
    line: LineView | None = None
    releases: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """By full name of a scope: in how many seconds its slots are expected back, or its pause is over. Read only when the
    run is refused; without it callers are told the policy's least."""


@dataclass(frozen=True, slots=True)
class Admit:
    """It starts now: a slot in every scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """It goes in line. `blocked_by` is the full name of the binding scope, or a word of SPEC 4 when no scope binds."""

    blocked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """It is refused: the body of the answer but for `requestId` and `receiptId`. `retry_after` in whole seconds."""

    code: Code
    error: str
    reason: str
    retry_after: int | None = None
    scope: str | None = None
    current_usage: int | None = None
    limit: int | None = None
    plan: str | None = None
    status: str | None = None
    run_id: str | None = None


Decision = Admit | Wait | Refuse


def decide(request: Request, view: View, policy: Policy) -> Decision:
    """The decision for `request` given `view`. Call again with `view.line` when it says Wait, and with `view.releases`
    when it says Refuse with `retry_after`: only that changes."""
    decision = _decided(request, view, policy)
    if not isinstance(decision, Refuse) or decision.retry_after is None:
        return decision
    known = view.releases.get(waits_for(decision, view.tenant) or "", ())
    return replace(decision, retry_after=retry_after(known, request.place, decision.retry_after))


def waits_for(refusal: Refuse, tenant: Tenant) -> str | None:
    """The full name of the scope whose slots, or whose pause, a refused caller waits for; None = for none."""
    if refusal.code in (Code.PLAN_LIMIT_CONCURRENCY, Code.TENANT_PAUSED, Code.USER_LIMIT_QUEUED, Code.QUEUE_FULL):
        return full_name(tenant.id, TENANT)
    return refusal.scope if refusal.code in (Code.SCOPE_LIMIT_CONCURRENCY, Code.SCOPE_PAUSED) else None


def _decided(request: Request, view: View, policy: Policy) -> Decision:
    for check in (_fits, _mode, _pauses, _quota, _repositories, _pressure):
        refusal = check(request, view, policy)
        if refusal is not None:
            return refusal
    decision = _scopes(request, view, policy)
    if isinstance(decision, Wait) and view.line is not None:
        return _line_bounds(request, view, policy) or decision
    return decision


# --- fits


def _fits(request: Request, view: View, policy: Policy) -> Refuse | None:
    run, plan = request.run, policy.plan(view.tenant.plan)
    if run.priority > plan.priority_ceiling:
        return Refuse(
            code=Code.PRIORITY_CEILING,
            error="Priority above the plan's ceiling",
            reason=f"Priority {run.priority} was asked, the {plan.title} plan allows up to {plan.priority_ceiling}.",
            limit=plan.priority_ceiling,
            plan=plan.name,
        )
    over = _limit_exceeded(run.limits, plan.run_limits)
    if over is not None:
        name, asked, cap = over
        return Refuse(
            code=Code.NEVER_FITS,
            error="The run can never fit",
            reason=f"limits.{name} asks for {asked:.15g}, the {plan.title} plan allows up to {cap:.15g}.",
            plan=plan.name,
        )
    scope = _zero_scope(request, view)
    if scope is not None:
        return Refuse(
            code=Code.NEVER_FITS,
            error="The run can never fit",
            reason=f"The limit of {scope} is 0, so no run of it can start.",
            scope=scope,
            limit=0,
        )
    return None


def _limit_exceeded(asked: RunLimits, cap: RunLimits) -> tuple[str, float, float] | None:
    pairs = (
        ("memoryBytes", asked.memory_bytes, cap.memory_bytes),
        ("durationSeconds", asked.duration_seconds, cap.duration_seconds),
        ("cpuCores", asked.cpu_cores, cap.cpu_cores),
    )
    return next((pair for pair in pairs if not pair[1] <= pair[2]), None)  # so written, NaN is above every cap


def _zero_scope(request: Request, view: View) -> str | None:
    tenant, run = view.tenant, request.run
    if view.wide.kind_cap == 0:
        return kind_scope(run.kind)
    if view.wide.system_cap == 0:
        return SYSTEM
    zero = (scope for scope in (TENANT, *run.scopes) if limit(tenant, scope) == 0)
    return next((full_name(tenant.id, scope) for scope in zero), None)


# --- mode and pauses


def _mode(request: Request, view: View, policy: Policy) -> Refuse | None:
    if view.wide.mode == "maintenance":
        return Refuse(
            code=Code.SYSTEM_MAINTENANCE,
            error="System under maintenance",
            reason="The system is under maintenance and starts nothing. Try again later.",
            status="maintenance",
            retry_after=policy.retry_after_paused,
        )
    if view.wide.mode == "draining":
        return Refuse(
            code=Code.SYSTEM_DRAINING,
            error="System draining",
            reason="The system finishes what it has accepted and takes no new work. Try again later.",
            status="draining",
            retry_after=policy.retry_after_paused,
        )
    return None


def _pauses(request: Request, view: View, policy: Policy) -> Refuse | None:
    tenant, run = view.tenant, request.run
    if tenant.status in ("suspended", "deactivated"):
        return Refuse(
            code=Code.TENANT_SUSPENDED if tenant.status == "suspended" else Code.TENANT_DEACTIVATED,
            error=f"Tenant is {tenant.status}",
            reason=f"This tenant is {tenant.status}. Please contact support to have it restored.",
            status=tenant.status,
        )
    gate = tenant.gates.get(TENANT)
    if gate is not None and gate.mode not in KEEPS_QUEUE:
        return tenant_paused(policy)
    for scope in run.scopes:
        gate = tenant.gates.get(scope)
        if gate is not None and gate.mode not in KEEPS_QUEUE:
            return _scope_paused(full_name(tenant.id, scope), gate.reason, policy)
    closed = view.wide.closed.get(run.kind)
    if closed is not None and closed not in KEEPS_QUEUE:
        return _scope_paused(kind_scope(run.kind), "", policy)
    return None


def tenant_paused(policy: Policy) -> Refuse:
    """The 503 of a paused tenant, word for word as SPEC 3 has it."""
    return Refuse(
        code=Code.TENANT_PAUSED,
        error="Tenant is temporarily paused",
        reason="Run processing is temporarily suspended. Try again later.",
        status="paused",
        retry_after=policy.retry_after_paused,
    )


def _scope_paused(scope: str, why: str, policy: Policy) -> Refuse:
    return Refuse(
        code=Code.SCOPE_PAUSED,
        error="Scope is temporarily paused",
        reason=f"Runs of {scope} are temporarily suspended{f' ({why})' if why else ''}. Try again later.",
        scope=scope,
        status="paused",
        retry_after=policy.retry_after_paused,
    )


# --- quota and pressure


def _quota(request: Request, view: View, policy: Policy) -> Refuse | None:
    tenant, plan = view.tenant, policy.plan(view.tenant.plan)
    if plan.monthly_runs is None or tenant.quota_exempt or tenant.month_runs < plan.monthly_runs:
        return None
    return Refuse(
        code=Code.MONTHLY_QUOTA,
        error="Monthly run limit exceeded",
        reason=f"Monthly run limit reached ({plan.monthly_runs} runs on {plan.title} plan).",
        current_usage=tenant.month_runs,
        limit=plan.monthly_runs,
        plan=plan.name,
        retry_after=max(3600, policy.retry_after_full),
    )


def _repositories(request: Request, view: View, policy: Policy) -> Refuse | None:
    tenant, plan = view.tenant, policy.plan(view.tenant.plan)
    if plan.repositories is None or fits(tenant.repos, request.run.repo, plan.repositories):
        return None
    return Refuse(
        code=Code.PLAN_LIMIT_REPOS,
        error="Repository limit exceeded",
        reason=f"Repository limit reached ({plan.repositories} repositories on {plan.title} plan).",
        current_usage=len(tenant.repos),
        limit=plan.repositories,
        plan=plan.name,
    )


def _pressure(request: Request, view: View, policy: Policy) -> Refuse | None:
    floor = policy.pressure.shed_below
    if view.wide.pressure != "shed" or request.run.priority >= floor:
        return None
    return Refuse(
        code=Code.OVERLOADED,
        error="System overloaded",
        reason=f"The system is overloaded and takes no new work of a priority below {floor}. Try again later.",
        retry_after=policy.retry_after_paused,
    )


def _held_back(word: str, policy: Policy) -> Refuse:
    """Slots are free, and starts are held back: to a run that will not wait, for a while."""
    return Refuse(
        code=Code.OVERLOADED,
        error="System overloaded",
        reason=f"Starts are held back at the moment ({word}), and this run is not to wait. Try again later.",
        retry_after=policy.retry_after_paused,
    )


# --- scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class FullScope:
    """A scope without a free slot for this run. `gated` = paused in a mode that queues."""

    name: str
    used: int
    limit: int | None
    gated: bool = False


def full_scopes(request: Request, view: View) -> tuple[FullScope, ...]:
    """Every scope that keeps the run from starting now: tenant first, then those inside it, kind, system."""
    tenant, wide, run = view.tenant, view.wide, request.run
    found = [
        FullScope(name=full_name(tenant.id, s), used=use(tenant, s), limit=limit(tenant, s), gated=s in tenant.gates)
        for s in (TENANT, *run.scopes)
        if s in tenant.gates or full(tenant, s)
    ]
    if run.kind in wide.closed or not wide.kind_free:
        gated = run.kind in wide.closed
        found.append(FullScope(name=kind_scope(run.kind), used=wide.kind_used, limit=wide.kind_cap, gated=gated))
    if not wide.system_free:
        found.append(FullScope(name=SYSTEM, used=wide.system_used, limit=wide.system_cap))
    return tuple(found)


def when_full(request: Request, tenant: Tenant, scope: str, policy: Policy) -> OnLimit:
    """What a full scope does with this run: the request's word, else the tenant's, else the policy's."""
    said = request.on_limit or (OnLimit(tenant.on_limit) if tenant.on_limit else None)
    if said is not None:
        return OnLimit.REJECT if said is OnLimit.REJECT else OnLimit.QUEUE
    return policy.when_full.get(scope_type(scope), OnLimit.QUEUE)


def _scopes(request: Request, view: View, policy: Policy) -> Decision:
    if request.delayed:
        return Wait(blocked_by="NOT_BEFORE")  # what is full now says nothing about later
    blocking = full_scopes(request, view)
    for scope in blocking:
        if not scope.gated and when_full(request, view.tenant, scope.name, policy) is OnLimit.REJECT:
            return concurrency_refusal(scope, view.tenant, policy)
    if blocking:
        return Wait(blocked_by=blocking[0].name)
    if view.wide.held_back and when_full(request, view.tenant, SYSTEM, policy) is OnLimit.REJECT:
        return _held_back(view.wide.held_back, policy)
    if view.wide.waiters or view.wide.held_back:
        # No barging: whoever could start and waits goes first. To a run that will not wait that is a full system.
        if when_full(request, view.tenant, SYSTEM, policy) is OnLimit.REJECT:
            ahead = FullScope(name=SYSTEM, used=view.wide.system_used, limit=view.wide.system_cap)
            return concurrency_refusal(ahead, view.tenant, policy)
        return Wait(blocked_by=view.wide.held_back or SYSTEM)
    return Admit()


def concurrency_refusal(scope: FullScope, tenant: Tenant, policy: Policy) -> Refuse:
    """The 429 of a full scope: the plan's own shape for the tenant, the same with `scope` for any other."""
    plan = policy.plan(tenant.plan)
    if scope_type(scope.name) == TENANT:
        return Refuse(
            code=Code.PLAN_LIMIT_CONCURRENCY,
            error="Concurrency limit exceeded",
            reason=concurrency_reason(scope.limit or 0, plan.title),
            current_usage=scope.used,
            limit=scope.limit,
            plan=tenant.plan,
            retry_after=policy.retry_after_full,
        )
    share = "" if scope.limit is None else f" ({scope.used} of {scope.limit})"
    return Refuse(
        code=Code.SCOPE_LIMIT_CONCURRENCY,
        error="Concurrency limit exceeded",
        reason=f"Concurrent run limit of {scope.name} reached{share}. Wait for existing runs to complete.",
        scope=scope.name,
        current_usage=scope.used,
        limit=scope.limit,
        retry_after=policy.retry_after_full,
    )


# --- line bounds


def _line_bounds(request: Request, view: View, policy: Policy) -> Refuse | None:
    line, bounds, tenant = view.line, policy.line, view.tenant
    assert line is not None
    if request.run.user is not None and line.user_waiting >= bounds.per_user:
        return Refuse(
            code=Code.USER_LIMIT_QUEUED,
            error="Too many runs waiting",
            reason=f"The user has {line.user_waiting} runs in line, the limit is {bounds.per_user}.",
            scope=f"line:user/{tenant.id}/{request.run.user}",
            current_usage=line.user_waiting,
            limit=bounds.per_user,
            retry_after=policy.retry_after_full,
        )
    if tenant.waiting >= bounds.per_tenant:
        return _queue_full(f"line:tenant/{tenant.id}", tenant.waiting, bounds.per_tenant, policy)
    if not line.free:
        total = bounds.total if line.total is None else line.total
        return _queue_full("line:system", total, total, policy)
    return None


def _queue_full(scope: str, used: int, cap: int, policy: Policy) -> Refuse:
    return Refuse(
        code=Code.QUEUE_FULL,
        error="The line is full",
        reason=f"{used} runs are waiting, the limit of {scope} is {cap}.",
        scope=scope,
        current_usage=used,
        limit=cap,
        retry_after=policy.retry_after_full,
    )


def gate_mode(tenant: Tenant, run: Run, closed: Mapping[str, str]) -> str | None:
    """The strictest pause mode that stands over a run, or None."""
    gates: list[Gate] = [tenant.gates[scope] for scope in (TENANT, *run.scopes) if scope in tenant.gates]
    modes = [gate.mode for gate in gates] + ([closed[run.kind]] if run.kind in closed else [])
    if tenant.status != "active":
        modes.append(STATUS_MODES[tenant.status])
    return max(modes, key=MODES.index, default=None)
