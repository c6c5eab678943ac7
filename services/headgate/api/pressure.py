"""View of the back-pressure."""

from __future__ import annotations

from headgate.api.exchange import Ask, Reply, View
from headgate.api.pressure_operations import PressureAnswer, PressureRule
from headgate.core import pace
from headgate.core.access import Permission
from headgate.core.policy import PRESSURE_RULES
from headgate.core.pressure import ACTIONS, threshold
from headgate.core.scopes import SYSTEM
from headgate.core.signals import Rule
from headgate.core.wide import Control
from headgate.wiring import System


class PressureViews:
    """`/admin/pressure`."""

    def __init__(self, system: System) -> None:
        self._deps = system.deps

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {"getPressure": self.pressure}

    def pressure(self, ask: Ask) -> Reply:
        """The state as the last sweep judged it; before the first one every rule rests."""
        ask.require(Permission.PLATFORM_READ)
        system = self._deps.store.get(Control, SYSTEM)
        pressure, ramps = (system.pressure, system.ramps) if system else (None, {})
        known = {rule.signal: rule for rule in (pressure.rules if pressure else ())}
        now, policy = self._deps.store.now(), self._deps.policy.pressure
        answer = PressureAnswer(
            state=pressure.state if pressure else "ok",
            since=pressure.since if pressure and pressure.since else None,
            rules=[self._rule(name, known.get(name)) for name in PRESSURE_RULES],
            ramps={scope: since for scope, since in ramps.items() if pace.ramping(since, now, policy)},
        )
        return Reply(body=answer.as_json())

    def _rule(self, name: str, rule: Rule | None) -> PressureRule:
        policy = self._deps.policy.pressure
        return PressureRule(
            signal=name,
            value=rule.value if rule else None,
            threshold=threshold(name, policy),
            action=ACTIONS[name],
            since=rule.since if rule and rule.since is not None else None,
            dry_run=name in policy.dry_run,
        )
