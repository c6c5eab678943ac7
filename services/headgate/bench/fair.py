"""Fairness, in virtual time: one tenant floods, twenty others submit ten runs each, the fleet has eight slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headgate.bench.fleet import Fleet
from headgate.core.policy import LineBounds, OnLimit, Policy
from headgate.core.submission import Submission

FLEET = 8
OTHERS, EACH = 20, 10
RUN_SECONDS = 1.0
BOUNDLESS = LineBounds(total=1_000_000, per_tenant=1_000_000, per_user=1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What the others got: when the last of them was done, and when a fair fleet would have been done with them."""

    flood: int
    users: int
    done_seconds: float
    fair_seconds: float
    longest_wait: float
    refused: int

    @property
    def ratio(self) -> float:
        """1 = exactly fair."""
        return self.done_seconds / self.fair_seconds

    def as_json(self) -> Mapping[str, object]:
        """For scripts."""
        figures = {"doneSeconds": self.done_seconds, "fairSeconds": self.fair_seconds, "ratio": round(self.ratio, 3)}
        shape = {"flood": self.flood, "floodUsers": self.users, "others": OTHERS, "each": EACH, "fleet": FLEET}
        return {**shape, **figures, "longestWaitSeconds": self.longest_wait, "refused": self.refused}


def flood(runs: int, users: int = 0) -> Flood:
    """All at once: `runs` of one tenant (under so many user names; 0 = none), ten each of twenty others."""
    policy = replace(Policy(), system=FLEET, kinds={}, line=BOUNDLESS)
    others = [f"small-{n}" for n in range(OTHERS)]
    fleet = Fleet(policy, {"flooder": "enterprise", **dict.fromkeys(others, "enterprise")})
    for number in range(runs):
        asked = Submission(kind="command", on_limit=OnLimit.QUEUE, user=f"user-{number % users}" if users else None)
        fleet.submit("flooder", RUN_SECONDS, asked)
    for tenant in others:
        for _ in range(EACH):
            fleet.submit(tenant, RUN_SECONDS, Submission(kind="command", on_limit=OnLimit.QUEUE))
    fair = fair_seconds()
    fleet.run(until=10 * fair)
    lives = [life for life in fleet.lives if life.tenant != "flooder"]
    done = max((life.done for life in lives), default=float("inf")) if len(lives) == OTHERS * EACH else float("inf")
    return Flood(
        flood=runs, users=users, done_seconds=done, fair_seconds=fair,
        longest_wait=max((life.started - life.submitted for life in lives), default=0.0),
        refused=fleet.refused.total(),
    )  # fmt: skip


def fair_seconds() -> float:
    """Until a fluid fleet, shared equally by all tenants that want it, is done with what the others asked."""
    return OTHERS * EACH * RUN_SECONDS / (FLEET * OTHERS / (OTHERS + 1))
