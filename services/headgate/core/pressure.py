"""Back-pressure: what the signals make of the system. A rule fires above its threshold and rests again well below it.

`slow` paces promotion, `shed` refuses new work below a priority, `pause_minting` stops asking GitHub for tokens. A rule in
dry-run is watched and told, and does nothing. Between threshold and clear share a rule stays as it is, so a signal that
hovers does not switch the system on and off. A signal that cannot be read keeps its last word for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headgate.core.policy import PRESSURE_RULES, PressurePolicy
from headgate.core.signals import Pressure, Rule

ACTIONS = {"queueDepth": "slow", "fleetPercent": "shed", "errorRate": "slow", "github": "pause_minting"}
"""What each of PRESSURE_RULES does while it fires."""
STALE_MS = 600_000
"""A signal that nobody could read for so long no longer keeps its rule firing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The signals of one moment; None = could not be read, or there are too few to judge."""

    queue_depth: float | None = None
    """Undelivered messages; embedded: pending runs that no worker has claimed. Never the length of the line."""
    fleet_percent: float | None = None
    error_rate: float | None = None
    """0-1, the system's own failures only."""
    github_throttled: bool | None = None

    def of(self, rule: str) -> float | None:
        """The value that the rule of that name judges."""
        github = None if self.github_throttled is None else float(self.github_throttled)
        return {
            "queueDepth": self.queue_depth,
            "fleetPercent": self.fleet_percent,
            "errorRate": self.error_rate,
            "github": github,
        }[rule]


def judge(before: Pressure, readings: Readings, policy: PressurePolicy, now: int) -> Pressure:
    """The pressure after one look at the signals."""
    known = {rule.signal: rule for rule in before.rules}
    rules = tuple(_judged(known.get(name), name, readings.of(name), policy, now) for name in PRESSURE_RULES)
    after = replace(before, rules=rules)
    state = "shed" if after.shedding else "slow" if after.slow else "ok"
    return replace(after, state=state, since=before.since if state == before.state and before.rules else now)


def threshold(name: str, policy: PressurePolicy) -> float:
    """Above which value the rule of that name fires."""
    thresholds = {
        "queueDepth": float(policy.queue_depth),
        "fleetPercent": policy.fleet_percent,
        "errorRate": policy.error_rate,
        "github": 0.0,
    }
    return thresholds[name]


def _judged(before: Rule | None, name: str, value: float | None, policy: PressurePolicy, now: int) -> Rule:
    above = threshold(name, policy)
    rule = before or Rule(signal=name, threshold=above, action=ACTIONS[name])
    rule = replace(rule, threshold=above, dry_run=name in policy.dry_run)
    if value is None:
        return replace(rule, since=None) if now - rule.read_at > STALE_MS else rule
    rule = replace(rule, value=value, read_at=now)
    if value > above:
        return replace(rule, since=rule.since if rule.since is not None else now)
    return replace(rule, since=None) if value <= above * policy.clear_share else rule
