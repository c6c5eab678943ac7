"""`decide` over generated facts: always an answer, never an admission against a limit, never a retry too soon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.admission import Admit, Decision, LineView, Refuse, Request, View, Wait, WideView, decide
from headgate.core.errors import Code
from headgate.core.policy import OnLimit, Policy, PressurePolicy, RunLimits
from headgate.core.tenant import Tenant, blocked
from tests.support.laws import counterexample, quick
from tests.support.values import a_gate, a_holder, a_tenant, asking

Decide = Callable[[Request, View, Policy], Decision]
Sample = tuple[Request, View, Policy]

SCOPES = ("user:ada", "org:acme", "repo:acme/web")
caps = st.one_of(st.none(), st.integers(0, 6))
modes = st.sampled_from(["reject", "hold", "drain", "drain_cancel"])
kinds = st.sampled_from(["command", "git", "nobody-knows-it"])
holding = st.lists(st.lists(st.sampled_from(SCOPES), unique=True), max_size=6).map(
    lambda each: {f"run_{i}": a_holder(*scopes) for i, scopes in enumerate(each)}
)

REQUESTED: dict[str, st.SearchStrategy] = {
    "on_limit": st.one_of(st.none(), st.sampled_from(OnLimit)),
    "delayed": st.booleans(),
    "priority": st.integers(0, 10),
    "kind": kinds,
    "user": st.sampled_from([None, "bob/../x"]),
    "repo": st.none(),
    "limits": st.builds(RunLimits, memory_bytes=st.sampled_from([0, 2**29, 2**40]), cpu_cores=st.floats()),
}
OF_TENANT: dict[str, st.SearchStrategy] = {
    "plan": st.sampled_from(["free", "pro", "enterprise", "mystery"]),
    "status": st.sampled_from(["suspended", "deactivated"]),
    "cap": st.integers(0, 6),
    "limits": st.dictionaries(st.sampled_from(SCOPES), st.integers(0, 3)),
    "defaults": st.fixed_dictionaries({}, optional={"user": caps, "repo": caps, "org": caps}),
    "on_limit": st.sampled_from(["reject", "queue"]),
    "gates": st.dictionaries(st.sampled_from(["tenant", *SCOPES]), modes.map(a_gate), max_size=2),
    "holders": holding,
    "waiting": st.sampled_from([499, 500, 900]),
    "month_runs": st.sampled_from([99, 100, 10_000]),
    "quota_exempt": st.booleans(),
}
OF_FLEET: dict[str, st.SearchStrategy] = {
    "mode": st.sampled_from(["draining", "maintenance"]),
    "closed": st.dictionaries(kinds, modes, max_size=1),
    "system_free": st.booleans(),
    "kind_free": st.booleans(),
    "waiters": st.booleans(),
    "system_cap": caps,
    "kind_cap": caps,
    "pressure": st.sampled_from(["slow", "shed"]),
}


def some_of(fields: dict[str, st.SearchStrategy]) -> st.SearchStrategy[dict]:
    """Few of the fields at a time: were all of them wild, the first check would hide all others."""
    chosen = st.sets(st.sampled_from(sorted(fields)), max_size=2)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: fields[name] for name in sorted(names)}))


requests = some_of(REQUESTED).map(lambda fields: asking(**({"user": "ada", "repo": "acme/web"} | fields)))
tenants: st.SearchStrategy[Tenant] = some_of(OF_TENANT).map(lambda fields: a_tenant(**fields))
wides = some_of(OF_FLEET).map(lambda fields: WideView(**fields))
lines = st.one_of(st.none(), st.builds(LineView, free=st.booleans(), user_waiting=st.integers(0, 12)))
policies = st.builds(
    Policy,
    retry_after_full=st.sampled_from([1, 30, 7_200, 86_400]),
    retry_after_paused=st.sampled_from([1, 60, 86_400]),
    pressure=st.builds(PressurePolicy, shed_below=st.integers(0, 10)),
)
samples = st.tuples(requests, st.builds(View, tenant=tenants, wide=wides, line=lines), policies)

PAUSES = {
    Code.SYSTEM_DRAINING, Code.SYSTEM_MAINTENANCE, Code.TENANT_PAUSED, Code.SCOPE_PAUSED, Code.OVERLOADED
}  # fmt: skip
DECIDED = [
    Code.PLAN_LIMIT_CONCURRENCY, Code.SCOPE_LIMIT_CONCURRENCY, Code.USER_LIMIT_QUEUED, Code.QUEUE_FULL,
    Code.MONTHLY_QUOTA, Code.TENANT_PAUSED, Code.SCOPE_PAUSED, Code.TENANT_SUSPENDED, Code.TENANT_DEACTIVATED,
    Code.SYSTEM_DRAINING, Code.SYSTEM_MAINTENANCE, Code.OVERLOADED, Code.PRIORITY_CEILING, Code.NEVER_FITS,
]  # fmt: skip
FINAL = {Code.PRIORITY_CEILING, Code.NEVER_FITS, Code.TENANT_SUSPENDED, Code.TENANT_DEACTIVATED}
"""Refusals that no waiting mends: they carry no retryAfter."""


def answers(deciding: Decide, sample: Sample) -> bool:
    """Every question has an answer, and every refusal says why."""
    decision = deciding(*sample)
    if isinstance(decision, Wait):
        return bool(decision.blocked_by)
    return isinstance(decision, Admit) or bool(decision.error and decision.reason and decision.code in Code)


def within_limits(deciding: Decide, sample: Sample) -> bool:
    """Whatever is admitted had a slot in every scope, and no pause, mode or waiter stood in its way."""
    request, view, policy = sample
    if not isinstance(deciding(request, view, policy), Admit):
        return True
    run, wide = request.run, view.wide
    free = wide.system_free and wide.kind_free and not wide.waiters and wide.mode == "normal"
    may = run.kind not in wide.closed and view.tenant.status == "active" and not request.delayed
    return free and may and blocked(view.tenant, ("tenant", *run.scopes)) is None


def never_too_soon(deciding: Decide, sample: Sample) -> bool:
    """retryAfter is whole and never below the policy's; there is none where waiting does not help."""
    _, _, policy = sample
    refusal = deciding(*sample)
    if not isinstance(refusal, Refuse):
        return True
    if refusal.code in FINAL:
        return refusal.retry_after is None
    least = policy.retry_after_paused if refusal.code in PAUSES else policy.retry_after_full
    return isinstance(refusal.retry_after, int) and refusal.retry_after >= least


def idle_is_not_refused(deciding: Decide, sample: Sample) -> bool:
    """No under-admission: with nothing in the way the answer is yes."""
    request, view, policy = sample
    easy = replace(request, delayed=False, run=replace(request.run, priority=0, limits=RunLimits()))
    idle = View(tenant=a_tenant(), wide=WideView(), line=view.line)
    return deciding(easy, idle, policy) == Admit()


@quick
@given(samples)
def test_any_facts_have_an_answer(sample: Sample) -> None:
    for law in (answers, within_limits, never_too_soon, idle_is_not_refused):
        assert law(decide, sample), law.__name__


# --- the laws bite: the samples reach every outcome, and wrong decisions are noticed


@pytest.mark.parametrize("outcome", [Admit, Wait, *DECIDED])
def test_the_samples_reach_every_outcome(outcome: type | Code) -> None:
    def other(sample: Sample) -> bool:
        decision = decide(*sample)
        if isinstance(outcome, Code):
            return not (isinstance(decision, Refuse) and decision.code is outcome)
        return not isinstance(decision, outcome)

    counterexample(samples, other)


def _barges(request: Request, view: View, policy: Policy) -> Decision:
    return decide(request, replace(view, wide=replace(view.wide, waiters=False)), policy)


def _blind_to_gates(request: Request, view: View, policy: Policy) -> Decision:
    return decide(request, replace(view, tenant=replace(view.tenant, gates={})), policy)


def _hasty(request: Request, view: View, policy: Policy) -> Decision:
    return decide(request, view, replace(policy, retry_after_full=30))


def _never(request: Request, view: View, policy: Policy) -> Decision:
    return Wait(blocked_by="system")


def test_a_decision_that_lets_barge_is_noticed() -> None:
    counterexample(samples, lambda sample: within_limits(_barges, sample))


def test_a_decision_blind_to_pauses_is_noticed() -> None:
    counterexample(samples, lambda sample: within_limits(_blind_to_gates, sample))


def test_an_invitation_to_come_back_too_soon_is_noticed() -> None:
    counterexample(samples, lambda sample: never_too_soon(_hasty, sample))


def test_admitting_nobody_is_noticed() -> None:
    counterexample(samples, lambda sample: idle_is_not_refused(_never, sample))
