"""Who could start: the line's rules said once more, by counting, as an oracle of what the flows decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from headgate.core import tenant as tenants
from headgate.core.lane import Lane, LaneState
from headgate.core.line import stands_in_line
from headgate.core.policy import PressurePolicy
from headgate.core.run import IN_FLIGHT, Run
from headgate.core.scopes import SYSTEM, TENANT, kind_scope
from headgate.core.tenant import Tenant, blocked
from headgate.core.wide import Control
from headgate.flow.brakes import paused_for
from headgate.verify.picture import Picture


def passed_over(picture: Picture, started: Run, by_key: bool, pressure: PressurePolicy) -> list[str]:
    """Runs of the same tenant and kind that could have started instead: those of a smaller key or (no key) any.

    Left out are those of a repository that holds a slot already (no repository gets half of the system before others),
    those in a scope that takes up again after a pause and must wait for its next start, and those that sleep on a scope
    for which only such a one is awake: the dispatch that meets it wakes them.
    """
    after = picture.get(Tenant, started.tenant)
    before = tenants.give(after, started.id, 0)
    held_back = {scope for holder in before.holders.values() for scope in holder.scopes if scope.startswith("repo:")}
    for lane in picture.all(Lane):
        if lane.state is LaneState.READY and lane.tenant == after.id and held_back.intersection(lane.scopes):
            held_back.update(lane.scopes)
    paced = {
        scope
        for run in picture.live
        if (run.tenant, run.kind) == (started.tenant, started.kind)
        and stands_in_line(run)
        and paused_for(after, run.scopes, started.holding_since or 0, pressure) is not None
        for scope in run.scopes
    }
    return [
        run.id
        for run in picture.live
        if (run.tenant, run.kind) == (started.tenant, started.kind)
        and stands_in_line(run)
        and (run.key < started.key or not by_key)
        and blocked(before, run.scopes) is None
        and held_back.isdisjoint(run.scopes)
        and paused_for(after, run.scopes, started.holding_since or 0, pressure) is None
        and picture.get(Lane, run.lane).on not in paced
    ]


def kept_waiting(picture: Picture) -> list[str]:
    """Runs that wait while everything they need is free: at rest a wake-up was lost."""
    control = picture.get(Control, SYSTEM)
    if control.mode == "maintenance":
        return []
    return [run.id for run in picture.live if stands_in_line(run) and _could_start(picture, control, run)]


def _could_start(picture: Picture, control: Control, run: Run) -> bool:
    tenant = picture.get(Tenant, run.tenant)
    held = Counter(kind for r in picture.live if r.state in IN_FLIGHT for kind in (SYSTEM, kind_scope(r.kind)))
    caps = {scope: picture.get(Control, scope).cap for scope in (SYSTEM, kind_scope(run.kind))}
    return (
        TENANT not in tenant.gates
        and not tenants.full(tenant, TENANT)
        and blocked(tenant, run.scopes) is None
        and run.kind not in control.closed
        and all(cap is None or held[scope] < cap for scope, cap in caps.items())
    )


def half_way(picture: Picture) -> Iterator[str]:
    """What was begun and not finished: pauses, modes and caps."""
    for tenant in picture.all(Tenant):
        yield from (f"pause of {scope} of {tenant.id}" for scope, g in tenant.gates.items() if g.state == "pausing")
    for control in picture.all(Control):
        held = sum(control.id in (SYSTEM, kind_scope(run.kind)) for run in picture.live if run.state in IN_FLIGHT)
        if control.settle and (control.cap is None or held <= control.cap):
            yield f"cap of {control.id}"
        states = [("mode", control.mode_state), *control.closed.items()]
        yield from (f"pause of {what}" for what, state in states if state is not None and state.state == "pausing")
