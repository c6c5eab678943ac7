"""Fairness between tenants: who is next.

Each tenant has a `turn`: the slot-seconds it was served, plus what its runs in flight are expected to take, divided
by its weight. The tenant with the least turn goes next. One that begins to offer starts at the fleet's virtual time
(`tenant.lifted`), so idleness, a cap or a pause saves up no credit; and because the account is the tenant's, nothing
is gained by splitting into users, repositories or keys.

Example, two tenants of weight 1, four slots, runs of 10 s, all queued at once: A starts (turn 10), B starts (10), A
(20), B (20). Each has two slots. Then A's runs turn out to take 5 s: when one ends A is at 5 + 10 = 15 against B's 20
and A is next; A gets more starts, both get the same slot-seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from headgate.core.line import order as line_order
from headgate.core.run import Run
from headgate.core.tenant import Holder, Tenant, blocked, refreshed, take


def pick(tenants: Iterable[Tenant], out: Collection[str] = ()) -> Tenant | None:
    """The tenant whose turn it is among those that offer a kind outside `out`; ties go by id."""
    willing = (tenant for tenant in tenants if any(kind not in out for kind in tenant.offers))
    return min(willing, key=lambda tenant: (tenant.turn, tenant.id), default=None)


def order(waiting: Collection[Run], tenants: Collection[Tenant], expected: float, free: int) -> tuple[str, ...]:
    """Which runs would start, in order, if `free` wide slots were given out now. The oracle of tests."""
    lines = {t.id: list(line_order(r for r in waiting if r.tenant == t.id)) for t in tenants}
    now = {t.id: t for t in tenants}
    started: list[str] = []
    while len(started) < free:
        startable = {t: _startable(now[t], line) for t, line in lines.items()}
        chosen = min((t for t, run in startable.items() if run), key=lambda t: (now[t].turn, t), default=None)
        if chosen is None:
            break
        run = startable[chosen]
        assert run is not None
        lines[chosen].remove(run)
        holder = Holder(since=0, expected=expected, kind=run.kind, scopes=run.scopes)
        now[chosen] = refreshed(take(now[chosen], run.id, holder))
        started.append(run.id)
    return tuple(started)


def _startable(tenant: Tenant, line: Iterable[Run]) -> Run | None:
    if blocked(tenant, ("tenant",)) is not None or tenant.status != "active":
        return None
    return next((run for run in line if blocked(tenant, run.scopes) is None), None)
