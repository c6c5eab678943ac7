"""Plan limits in the shape of the original requirements: may a tenant with so many runs in flight start one more?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from headgate.core.errors import Code, LimitReached
from headgate.core.policy import Plan, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLimitCheck:
    """The answer: `current_usage` and `limit` are runs; `reason` is for people, None when allowed."""

    allowed: bool
    reason: str | None
    current_usage: int
    limit: int

    def as_json(self) -> dict[str, object]:
        """With the key names of the requirements."""
        return {
            "allowed": self.allowed,
            "reason": self.reason,
            "currentUsage": self.current_usage,
            "limit": self.limit,
        }


def check_concurrency_limit(
    in_flight: int, plan: str, policy: Policy | None = None, cap: int | None = None
) -> PlanLimitCheck:
    """Whether one more run fits beside `in_flight` ones. An unknown plan counts as the strictest; `cap` overrides the plan's."""
    bought = (policy or Policy()).plan(plan)
    limit = bought.concurrent if cap is None else cap
    allowed = in_flight < limit
    reason = None if allowed else concurrency_reason(limit, bought.title)
    return PlanLimitCheck(allowed=allowed, reason=reason, current_usage=in_flight, limit=limit)


def check_member(user: str, active: Collection[str], plan: Plan) -> None:
    """Raises LimitReached unless `user` may be a member beside the `active` ones."""
    if plan.members is not None and user not in active and len(active) >= plan.members:
        raise LimitReached(
            Code.PLAN_LIMIT_MEMBERS,
            "Member limit exceeded",
            f"Member limit reached ({plan.members} members on {plan.title} plan). Revoke the keys of one first.",
            current_usage=len(active),
            limit=plan.members,
            plan=plan.name,
        )


def concurrency_reason(limit: int, title: str) -> str:
    """The sentence of the 429, word for word as SPEC 3 has it."""
    return (
        f"Concurrent run limit reached ({limit} concurrent runs on {title} plan). Wait for existing runs to complete."
    )
