"""What is kept of the back-pressure: each rule as it stands, and what they come to together. Judged in `core.pressure`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as it stands: its last value and when it was read, since when it fires (ms), or None."""

    signal: str
    threshold: float
    action: str
    dry_run: bool = False
    value: float | None = None
    read_at: int = 0
    since: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """What all rules come to. `since` is when the state began (ms)."""

    state: str = "ok"
    since: int = 0
    rules: tuple[Rule, ...] = ()

    @property
    def slow(self) -> bool:
        """Whether promotion is paced."""
        return self._does("slow")

    @property
    def minting_paused(self) -> bool:
        """Whether registration tokens are not asked for."""
        return self._does("pause_minting")

    def _does(self, action: str) -> bool:
        return any(rule.action == action and rule.since is not None and not rule.dry_run for rule in self.rules)

    @property
    def shedding(self) -> bool:
        """Whether new work below the policy's priority is refused."""
        return self._does("shed")
