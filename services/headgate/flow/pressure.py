"""Pressure: read the signals, judge them, and let every start know. The sweep does it; one look costs a few reads.

The state stands in `control/system`, and, when it changes, in every system and line shard by the same commit as a mode
does: whoever starts or queues a run after that commit sees it. If we die before it, the next sweep judges anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headgate.core.policy import PressurePolicy
from headgate.core.pressure import Readings, judge
from headgate.core.run import IN_FLIGHT, Run
from headgate.core.scopes import LINE, SYSTEM
from headgate.core.signals import Pressure
from headgate.core.wide import Control
from headgate.flow import fleet
from headgate.flow.deps import Deps
from headgate.store.documents import where
from headgate.store.transaction import Tx

SYSTEM_FAULTS = frozenset({"WORKER_LOST", "DEAD_LETTERED"})
"""Codes of runs that failed by our own fault: a tenant's failing command slows nobody."""
LOOKS_BACK_MS = 3_600_000
"""Failures of longer ago say nothing about now."""


def measure(deps: Deps) -> Readings:
    """The signals now. A broker that cannot be read leaves its signal unknown."""
    return Readings(queue_depth=_queue_depth(deps), fleet_percent=_fleet_percent(deps), error_rate=_error_rate(deps))


def look(deps: Deps) -> Pressure:
    """Judge the signals as they are now; what comes of it is in force when this returns. Raises Unavailable."""
    readings = measure(deps)
    line = deps.store.get(Control, LINE)

    def body(tx: Tx) -> tuple[Pressure, Pressure]:
        system = tx.get(Control, SYSTEM)
        if system is None or line is None:
            return Pressure(), Pressure()
        before = system.pressure
        pressure = judge(before, readings, deps.policy.pressure, tx.now)
        after = replace(system, pressure=pressure)
        if before.slow and not pressure.slow:
            after = fleet.ramped(after, SYSTEM, tx.now, deps.policy.pressure)
        if after != system:
            tx.put(after)
        if (before.state, before.slow) != (pressure.state, pressure.slow):
            fleet.stamp(tx, after, line.shards)
        return before, pressure

    before, after = deps.store.transact(body, fleet.CONTROL_KEY)
    _tell(deps, before, after)
    return after


def _tell(deps: Deps, before: Pressure, after: Pressure) -> None:
    stood = {rule.signal: rule.since for rule in before.rules}
    for rule in after.rules:
        if (stood.get(rule.signal) is None) != (rule.since is None):
            word = "pressure.rule_fires" if rule.since is not None else "pressure.rule_rests"
            facts = {"value": rule.value, "threshold": rule.threshold, "does": rule.action, "dry_run": rule.dry_run}
            deps.telemetry.warning(word, signal=rule.signal, **facts)
    if before.state != after.state:
        deps.telemetry.warning("pressure.changed", state=after.state, before=before.state)


def _queue_depth(deps: Deps) -> float | None:
    if deps.broker is None:
        return float(deps.store.count(where(Run, ("state", "==", "pending"))))
    backlog = deps.broker.backlog()
    return None if backlog is None else float(backlog.depth)


def _fleet_percent(deps: Deps) -> float | None:
    control = deps.store.get(Control, SYSTEM)
    if control is None or not control.cap:
        return None
    return 100.0 * deps.store.count(where(Run, ("state", "in", sorted(IN_FLIGHT)))) / control.cap


def _error_rate(deps: Deps) -> float | None:
    policy = deps.policy.pressure
    since = deps.store.now() - LOOKS_BACK_MS
    latest = where(Run, ("finished_at", ">", since), order=("-finished_at",), limit=policy.error_window)
    return error_rate(deps.store.query(Run, latest), policy)


def error_rate(latest: Sequence[Run], policy: PressurePolicy) -> float | None:
    """The share (0-1) of the system's own failures; None while too few have finished to judge."""
    if len(latest) < policy.error_minimum:
        return None
    return sum(run.error is not None and run.error.code in SYSTEM_FAULTS for run in latest) / len(latest)
