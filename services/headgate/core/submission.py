"""What a caller asks for, already checked for shape: the flow turns it into a Run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.core.policy import OnLimit


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
