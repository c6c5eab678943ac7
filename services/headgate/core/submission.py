"""What a caller asks for, already checked for shape: the flow turns it into a Run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256

from headgate.core.lane import lane_id
from headgate.core.policy import OnLimit, Plan, Policy, RunLimits
from headgate.core.run import Run, RunState
from headgate.core.scopes import Affiliation


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLimits:
    """Limits of a run as asked; None = the plan's default."""

    memory_bytes: int | None = None
    duration_seconds: float | None = None
    cpu_cores: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One `POST …/runs`. `input` is the JSON object as sent; times are ms since 1970."""

    kind: str
    input: Mapping[str, object] = field(default_factory=dict)
    repo: str | None = None
    user: str | None = None
    priority: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: AskedLimits = AskedLimits()
    on_limit: OnLimit | None = None
    not_before: int | None = None
    start_by: int | None = None
    concurrency_key: str | None = None


def run_of(asked: Submission, run_id: str, tenant: str, plan: Plan, policy: Policy, now: int) -> Run:
    """The run that a submission describes, not yet decided on: queued, with the plan's defaults filled in."""
    org = asked.repo.partition("/")[0] if asked.repo else None
    affiliation = Affiliation(asked.user, org, asked.repo)
    delayed = asked.not_before is not None and asked.not_before > now
    deadline = max(now, asked.not_before or 0) + round(policy.execution.start_deadline_seconds * 1000)
    return Run(
        id=run_id,
        tenant=tenant,
        kind=asked.kind,
        input=json.dumps(asked.input, separators=(",", ":"), allow_nan=False, ensure_ascii=False),
        created_at=now,
        queued_at=now,
        state=RunState.QUEUED,
        priority=plan.default_priority if asked.priority is None else asked.priority,
        user=asked.user,
        org=org,
        repo=asked.repo,
        labels=asked.labels,
        limits=_limits(asked.limits, plan.run_limits),
        not_before=asked.not_before,
        start_by=deadline if asked.start_by is None else asked.start_by,
        delayed=delayed,
        concurrency_key=asked.concurrency_key,
        lane=lane_id(tenant, affiliation, asked.kind),
        lease_seconds=policy.execution.lease_seconds,
        max_attempts=policy.execution.max_attempts,
    )


def _limits(asked: AskedLimits, default: RunLimits) -> RunLimits:
    return RunLimits(
        memory_bytes=default.memory_bytes if asked.memory_bytes is None else asked.memory_bytes,
        duration_seconds=default.duration_seconds if asked.duration_seconds is None else asked.duration_seconds,
        cpu_cores=default.cpu_cores if asked.cpu_cores is None else asked.cpu_cores,
    )


def asked_of(run: Run, on_limit: OnLimit | None = None) -> Submission:
    """What a run asked for, to be asked again; its moments are over and left out."""
    return Submission(
        kind=run.kind,
        input=json.loads(run.input),
        repo=run.repo,
        user=run.user,
        priority=run.priority,
        labels=run.labels,
        limits=AskedLimits(
            memory_bytes=run.limits.memory_bytes,
            duration_seconds=run.limits.duration_seconds,
            cpu_cores=run.limits.cpu_cores,
        ),
        on_limit=on_limit,
        concurrency_key=run.concurrency_key,
    )


def retry_id(run_id: str) -> str:
    """The id of the run that is a retry of this one: there is never a second."""
    return "run_" + sha256(f"retry of {run_id}".encode()).hexdigest()[:24]


def body_hash(asked: Submission) -> str:
    """The same for equal submissions: what an Idempotency-Key is bound to."""
    return sha256(json.dumps(asdict(asked), sort_keys=True, default=str).encode()).hexdigest()
