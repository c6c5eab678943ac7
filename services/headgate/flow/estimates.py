"""What `core.forecast` needs to know, gathered: how long runs take, which slots are really there, who else is after them.

Everything about other tenants may be some seconds old, and is read only when a wide scope is full: an estimate is never
worth a read for each run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import log

from headgate.core.admission import Refuse, waits_for
from headgate.core.forecast import (
    Estimate,
    Holder,
    Lane,
    Share,
    Sketch,
    Slots,
    expected_releases,
    forecast,
    not_before,
    paced_wait,
)
from headgate.core.run import Forecast, Run
from headgate.core.scopes import SYSTEM, TENANT, full_name, kind_scope
from headgate.core.tenant import Tenant, limit
from headgate.core.wide import Control
from headgate.flow.deps import Deps
from headgate.flow.history import durations
from headgate.flow.places import composition
from headgate.flow.wideview import WideUse, counted_use
from headgate.store.documents import where

USE_SECONDS = 2.0
RIVALS_SECONDS = 5.0
LINE_SECONDS = 10.0
TOLD_SECONDS = 1.0
MOST_RIVALS = 20
ALONE = 10
"""Up to so many ahead an estimate costs little: each run has its own."""

Uses = Callable[[str], WideUse]
"""Use and cap of a wide scope."""


def estimate(deps: Deps, tenant: Tenant, run: Run, ahead: Sequence[Lane], now: int) -> Estimate | None:
    """How long `run`, queued behind `ahead` of its tenant's line, waits; None if it will not start by itself."""
    total = sum(lane.count for lane in ahead)
    if total < ALONE:
        return _forecast(deps, tenant, run, ahead, now, kept_use(deps))
    return _for_all_there(deps, tenant, run, total, lambda: _forecast(deps, tenant, run, ahead, now, kept_use(deps)))


def told(deps: Deps, tenant: Tenant, run: Run, now: int, uses: Uses) -> Forecast | None:
    """What a run that joins the line is told, kept in the run: `tenant` is as it was before. Reads next to nothing."""
    if run.delayed or tenant.status != "active" or any(scope in tenant.gates for scope in (TENANT, *run.scopes)):
        return None  # it waits for something else than slots
    found = _for_all_there(
        deps,
        tenant,
        run,
        tenant.waiting,
        lambda: _forecast(deps, tenant, run, _line(deps, tenant, run), now, uses),
    )
    return None if found is None else Forecast(p50=found.p50, p90=found.p90, at=now, stretch=found.stretch)


def _for_all_there(
    deps: Deps, tenant: Tenant, run: Run, ahead: int, ask: Callable[[], Estimate | None]
) -> Estimate | None:
    """One answer a second for all runs at about the same place of a lane: a burst, or a page of a list."""
    near = ahead if ahead < 2 * ALONE else -int(20 * log(ahead))  # within a twentieth
    key = ("told", tenant.id, run.lane, near, len(tenant.holders))
    return deps.kept.of(key, deps.timing.monotonic(), TOLD_SECONDS, lambda _: ask())


def _forecast(deps: Deps, tenant: Tenant, run: Run, ahead: Sequence[Lane], now: int, uses: Uses) -> Estimate | None:
    wanted = Lane(kind=run.kind, scopes=run.scopes)
    caps = _caps(tenant, (wanted, *ahead), uses)
    slots = Slots(caps=caps, own=_own(tenant), rivals=_rivals(deps, tenant, run, uses))
    holders = [*holders_of(tenant, now), *_others(tenant, run.kind, uses)]
    found = forecast(wanted, ahead, holders, lambda kind: durations(deps, kind or run.kind), slots)
    return None if found is None else not_before(found, _paced(deps, tenant, (*ahead, wanted), now))


def _paced(deps: Deps, tenant: Tenant, line: Sequence[Lane], now: int) -> float:
    """In how many seconds the last of `line` may start under the paces in force, of the fleet and inside the tenant."""
    control = deps.kept.of(
        ("control",), deps.timing.monotonic(), TOLD_SECONDS, lambda _: deps.store.get(Control, SYSTEM)
    )
    slow, ramps = (control.pressure.slow, control.ramps) if control else (False, {})
    policy, kind = deps.policy.pressure, line[-1].kind
    every, alike = sum(lane.count for lane in line), sum(lane.count for lane in line if lane.kind == kind)
    waits = [
        paced_wait(sum(lane.count for lane in line if scope in (TENANT, *lane.scopes)), False, ramp.since, now, policy)
        for scope, ramp in tenant.ramps.items()
        if scope in (TENANT, *line[-1].scopes)
    ]
    if slow or SYSTEM in ramps:
        waits.append(paced_wait(_turns(deps, tenant, every), slow, ramps.get(SYSTEM), now, policy))
    if kind_scope(kind) in ramps:
        waits.append(paced_wait(_turns(deps, tenant, alike), False, ramps[kind_scope(kind)], now, policy))
    return max(waits, default=0.0)


def _turns(deps: Deps, tenant: Tenant, own: int) -> int:
    """Starts of all tenants until the own `own`-th: the others go side by side with it."""
    return own + sum(min(own, other.waiting) for other in offering(deps) if other.id != tenant.id)


def come_back(deps: Deps, tenant: Tenant, refusal: Refuse, kind: str, now: int) -> Mapping[str, Sequence[float]]:
    """What a refused caller waits for: the expected ends of the runs in that scope, or of its pause, in seconds."""
    name = waits_for(refusal, tenant)
    if name is None:
        return {}
    scope = next((local for local in (TENANT, *_scopes(tenant)) if full_name(tenant.id, local) == name), name)
    gate = tenant.gates.get(scope)
    if gate is not None:
        return {name: () if gate.until is None else (max(0, gate.until - now) / 1000,)}
    if scope == SYSTEM or scope.startswith("kind:"):
        return {name: _evenly(durations(deps, kind), kept_use(deps)(scope).used)}
    holders = [one for one in holders_of(tenant, now) if scope in one.scopes]
    return {name: expected_releases(holders, lambda one: durations(deps, one))}


def _scopes(tenant: Tenant) -> set[str]:
    return {*tenant.gates, *(scope for holder in tenant.holders.values() for scope in holder.scopes)}


def _evenly(known: Sketch, used: int) -> tuple[float, ...]:
    """Releases of a scope of which only the use is known: as even as they come on average."""
    return tuple(known.at(0.5) * (number + 1) / used for number in range(min(used, 100)))


def holders_of(tenant: Tenant, now: int) -> list[Holder]:
    """The tenant's own runs in flight."""
    held = tenant.holders.values()
    return [Holder(kind=h.kind, scopes=(TENANT, *h.scopes), age=max(0, now - h.since) / 1000) for h in held]


def kept_use(deps: Deps) -> Uses:
    """Use of wide scopes, at most two seconds old."""
    now = deps.timing.monotonic()
    return lambda scope: deps.kept.of(("use", scope), now, USE_SECONDS, lambda _: counted_use(deps, scope))


def _line(deps: Deps, tenant: Tenant, run: Run) -> tuple[Lane, ...]:
    """What the line is made of, some seconds old, brought to the length it has now."""
    if not tenant.waiting:
        return ()
    now = deps.timing.monotonic()
    lanes = deps.kept.of(("line", tenant.id), now, LINE_SECONDS, lambda _: composition(deps, tenant.id))
    lanes = tuple(lane for lane in lanes if lane.count)
    total = sum(lane.count for lane in lanes)
    if not total:
        return (Lane(kind=run.kind, scopes=run.scopes, count=tenant.waiting),)
    return tuple(replace(lane, count=-(-lane.count * tenant.waiting // total)) for lane in lanes)


def _caps(tenant: Tenant, lanes: Iterable[Lane], uses: Uses) -> Mapping[str, int]:
    wanted = tuple(lanes)
    inside = {TENANT, *(scope for lane in wanted for scope in lane.scopes)}
    caps = {scope: limit(tenant, scope) for scope in sorted(inside)}
    wide = (SYSTEM, *sorted({kind_scope(lane.kind) for lane in wanted}))
    caps |= {scope: uses(scope).cap for scope in wide}
    return {scope: cap for scope, cap in caps.items() if cap is not None}


def _own(tenant: Tenant) -> Share:
    return Share(turn=tenant.turn, weight=tenant.weight)


def _others(tenant: Tenant, kind: str, uses: Uses) -> list[Holder]:
    """Runs of other tenants in flight, of which only the number is known."""
    own = len(tenant.holders)
    of_kind = sum(holder.kind == kind for holder in tenant.holders.values())
    same = max(0, uses(kind_scope(kind)).used - of_kind)
    rest = max(0, uses(SYSTEM).used - own - same)
    return [Holder(kind=kind)] * same + [Holder(kind="")] * rest


def _rivals(deps: Deps, tenant: Tenant, run: Run, uses: Uses) -> tuple[Share, ...]:
    """The tenants that offer runs for the same wide slots, least turn first; none while those are to be had."""
    if not any(_full(uses(scope)) for scope in (SYSTEM, kind_scope(run.kind))):
        return ()
    return tuple(_share(other, run.kind) for other in offering(deps) if other.id != tenant.id)


def offering(deps: Deps) -> list[Tenant]:
    """The tenants whose turn comes next, some seconds old."""
    query = where(Tenant, ("offers", "array_contains_any", list(deps.kinds)), order=("turn",), limit=MOST_RIVALS)
    now = deps.timing.monotonic()
    return deps.kept.of(("offering",), now, RIVALS_SECONDS, lambda _: deps.store.query(Tenant, query))


def _share(tenant: Tenant, kind: str) -> Share:
    return Share(
        turn=tenant.turn,
        weight=tenant.weight,
        kind=kind if kind in tenant.offers else tenant.offers[0],
        waiting=tenant.waiting,
        room=max(0, tenant.cap - len(tenant.holders)),
    )


def _full(use: WideUse) -> bool:
    return use.cap is not None and use.used >= use.cap
