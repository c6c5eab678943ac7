"""The gauges, measured: what `/metrics` serves and what the sweep writes. A few reads: the tenants, the wide scopes, four
counts, the oldest of the line and of the dead letters. Reads only; nothing decides by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from headgate.core.line import stands_in_line
from headgate.core.run import Run, RunState
from headgate.core.scopes import LINE, SYSTEM, kind_scope, scope_type
from headgate.core.tenant import Tenant
from headgate.core.wide import Control
from headgate.flow.deps import Deps
from headgate.flow.drift import slot_drift
from headgate.flow.fairness_report import fairness_report
from headgate.store.documents import DeadLetter, where
from headgate.telemetry import metrics
from headgate.telemetry.metrics import Gauge, Sample

FRESH_SECONDS = 15.0
"""How old what `/metrics` serves may be: however often it is asked."""
FAIRNESS_FRESH_SECONDS = 600.0
"""Fairness reads the runs of half an hour, so it is asked for less often."""
FAIRNESS_WINDOW_SECONDS = 1800.0
OLDEST = (20, 200)
"""So many of the oldest waiting runs are looked at for one that nothing holds back, at first and at most."""

MODES = {"normal": 0, "draining": 1, "maintenance": 2}
PRESSURES = {"ok": 0, "slow": 1, "shed": 2}


def current(deps: Deps) -> Sequence[Sample]:
    """As they are, or were a moment ago. Raises Unavailable."""
    return deps.kept.of("gauges", deps.timing.monotonic(), FRESH_SECONDS, lambda _: measure(deps))


def publish(deps: Deps, tenants: Sequence[Tenant]) -> None:
    """What the sweep does at its end, where gauges are written at all. `tenants` as it has read them."""
    if deps.gauges is not None:
        deps.gauges.write(measure(deps, tenants))


def measure(deps: Deps, tenants: Sequence[Tenant] | None = None) -> Sequence[Sample]:
    """Every gauge that has a value now. Raises Unavailable."""
    known = list(deps.store.every(Tenant)) if tenants is None else tenants
    controls = {control.id: control for control in deps.store.query(Control, where(Control))}
    now = deps.store.now()
    runs = {state: deps.store.count(where(Run, ("state", "==", state))) for state in ("queued", "pending", "running")}
    system = controls.get(SYSTEM)
    samples = [
        *_slots(known, controls.values()),
        *_shares(known, system),
        *(Sample(metric=metrics.RUNS, value=n, labels=(state,)) for state, n in runs.items()),
        *_line(deps, known, controls, now, runs["queued"]),
        *_mode(system, now, sum(runs.values())),
        *_pauses(known, system, now),
        *_letters(deps, now),
        _one(metrics.DRIFT, slot_drift(deps, known, runs["pending"] + runs["running"])),
        _one(metrics.FAIRNESS, _fairness(deps)),
    ]
    return [sample for sample in samples if sample is not None]


def _one(metric: Gauge, value: float | None) -> Sample | None:
    return None if value is None else Sample(metric=metric, value=value)


def _slots(tenants: Iterable[Tenant], controls: Iterable[Control]) -> Iterator[Sample]:
    """The wide scopes' slots, counted by their holders: those stand in the tenants."""
    kinds = Counter(holder.kind for tenant in tenants for holder in tenant.holders.values())
    used = {SYSTEM: kinds.total(), **{kind_scope(kind): n for kind, n in kinds.items()}}
    for control in controls:
        if control.id != LINE:
            yield Sample(metric=metrics.SLOTS_IN_USE, value=used.get(control.id, 0), labels=(control.id,))
            if control.cap is not None:
                yield Sample(metric=metrics.SLOTS_LIMIT, value=control.cap, labels=(control.id,))


def _shares(tenants: Iterable[Tenant], system: Control | None) -> Iterator[Sample]:
    if system is None or not system.cap:
        return
    most_of_tenant, most_of_repo = 0, 0
    for tenant in tenants:
        held = Counter(s for h in tenant.holders.values() for s in h.scopes if scope_type(s) == "repo")
        most_of_tenant = max(most_of_tenant, len(tenant.holders))
        most_of_repo = max(most_of_repo, *held.values(), 0)
    yield Sample(metric=metrics.TENANT_SHARE, value=most_of_tenant / system.cap)
    yield Sample(metric=metrics.REPO_SHARE, value=most_of_repo / system.cap)


def _line(
    deps: Deps, tenants: Iterable[Tenant], controls: dict[str, Control], now: int, queued: int
) -> Iterator[Sample | None]:
    line, system = controls.get(LINE), controls.get(SYSTEM)
    yield _one(metrics.LINE_LIMIT, line.cap if line else None)
    oldest = _oldest(deps, tenants, system) if queued and not (system and system.mode == "maintenance") else now
    yield _one(metrics.OLDEST_QUEUED, max(0, now - oldest) / 1000)


def _oldest(deps: Deps, tenants: Iterable[Tenant], system: Control | None) -> int:
    """Since when (ms) the oldest waits among those that nothing holds back; now, when there is none among those looked at."""
    known = {tenant.id: tenant for tenant in tenants}
    closed = system.closed if system else {}
    for limit in OLDEST:
        query = where(Run, ("state", "==", RunState.QUEUED), order=("created_at",), limit=limit)
        runs = deps.store.query(Run, query)
        free = [r.queued_at or r.created_at for r in runs if r.kind not in closed and _free(r, known.get(r.tenant))]
        if free or len(runs) < limit:
            return min(free, default=deps.store.now())
    return deps.store.now()


def _free(run: Run, tenant: Tenant | None) -> bool:
    if tenant is None or tenant.status != "active" or not stands_in_line(run):
        return False
    return not any(scope in tenant.gates for scope in ("tenant", *run.scopes))


def _mode(system: Control | None, now: int, live: int) -> Iterator[Sample]:
    if system is None:
        return
    since = system.mode_state.since if system.mode_state and system.mode != "normal" else now
    yield Sample(metric=metrics.MODE, value=MODES[system.mode])
    yield Sample(metric=metrics.MODE_AGE, value=max(0, now - since) / 1000)
    yield Sample(metric=metrics.DRAIN_LEFT, value=live if system.mode == "draining" else 0)
    yield Sample(metric=metrics.PRESSURE, value=PRESSURES[system.pressure.state])
    looked = max((rule.read_at for rule in system.pressure.rules), default=0)
    if looked:
        yield Sample(metric=metrics.SWEEP_AGE, value=max(0, now - looked) / 1000)


def _pauses(tenants: Iterable[Tenant], system: Control | None, now: int) -> Iterator[Sample]:
    pauses = [(scope_type(scope), gate.since) for t in tenants for scope, gate in t.gates.items()]
    pauses += [("kind", state.since) for state in (system.closed.values() if system else ())]
    types = Counter(type for type, _ in pauses)
    for type in ("tenant", "user", "repo", "org", "kind"):
        yield Sample(metric=metrics.PAUSED, value=types[type], labels=(type,))
    oldest = min((since for _, since in pauses), default=now)
    yield Sample(metric=metrics.PAUSE_AGE, value=max(0, now - oldest) / 1000)


def _letters(deps: Deps, now: int) -> Iterator[Sample]:
    count = deps.store.count(where(DeadLetter, ("state", "==", "open")))
    query = where(DeadLetter, ("state", "==", "open"), order=("at",), limit=1)
    oldest = deps.store.query(DeadLetter, query) if count else []
    yield Sample(metric=metrics.LETTERS, value=count)
    yield Sample(metric=metrics.LETTER_AGE, value=max(0, now - oldest[0].at) / 1000 if oldest else 0)


def _fairness(deps: Deps) -> float | None:
    def read(last: float | None) -> float | None:
        return fairness_report(deps, FAIRNESS_WINDOW_SECONDS).jain

    return deps.kept.of("fairness gauge", deps.timing.monotonic(), FAIRNESS_FRESH_SECONDS, read)
