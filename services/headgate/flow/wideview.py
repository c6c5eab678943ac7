"""What a decision knows of the wide scopes. Use over all shards is counted at most once a second per process."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from headgate.core.admission import WideView
from headgate.core.run import IN_FLIGHT, Run
from headgate.core.scopes import LINE, SYSTEM, kind_scope
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, Shard
from headgate.flow.deps import Deps
from headgate.flow.ledger import any_shard, free_shard
from headgate.store.documents import where
from headgate.store.transaction import Tx

FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WideUse:
    """Slots in use and cap of a wide scope, perhaps a second old: for receipts and messages, never for the decision."""

    used: int
    cap: int | None

    def full(self) -> WideUse:
        """The same for a scope that was just found full: an older count must not contradict it."""
        return replace(self, used=max(self.used, self.cap or 0))


@dataclass
class WideUses:
    """The cache. Losing it costs a count."""

    deps: Deps
    _kept: dict[str, tuple[float, WideUse]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, scope: str) -> WideUse:
        """Use of `system`, `kind:…` or the line."""
        now = self.deps.timing.monotonic()
        with self._lock:
            kept = self._kept.get(scope)
            if kept is not None and now - kept[0] < FRESH_SECONDS:
                return kept[1]
            # Set before counting: callers that come meanwhile take the older figure instead of counting too.
            if kept is not None:
                self._kept[scope] = (now, kept[1])
        use = counted_use(self.deps, scope)
        with self._lock:
            self._kept[scope] = (now, use)
        return use


def counted_use(deps: Deps, scope: str) -> WideUse:
    """Use of a wide scope, counted now."""
    states = ["queued"] if scope == LINE else sorted(IN_FLIGHT)
    conditions: list[tuple[str, str, object]] = [("state", "in", states)]
    if scope not in (SYSTEM, LINE):
        conditions.append(("kind", "==", scope.partition(":")[2]))
    control = deps.store.get(Control, scope)
    return WideUse(deps.store.count(where(Run, *conditions)), control.cap if control else None)


@dataclass(frozen=True, slots=True)
class WideFacts:
    """The view, and the shards it was read from (None where the scope is full or was not looked at)."""

    view: WideView
    system: Shard | None
    kind: Shard | None
    line: Shard | None


def look(tx: Tx, deps: Deps, uses: WideUses, run: Run, could_start: bool, out: Collection[str]) -> WideFacts:
    """Read what a decision on `run` needs. `could_start` = nothing inside the tenant blocks it; `out` = kinds that this
    process's last dispatch pass found full or closed, whose waiters therefore cannot start."""
    chance = tx.chance
    system = free_shard(tx, SYSTEM, chance) if could_start else None
    # Mode and closed kinds stand in every system and line shard: whoever will wait looks at its place in line at once.
    line = free_shard(tx, LINE, chance) if not could_start else None
    sample = system or line or any_shard(tx, SYSTEM, chance)
    kind = free_shard(tx, kind_scope(run.kind), chance) if system is not None else None
    waiters = could_start and kind is not None and _somebody_waits(tx, deps, run.kind, out)
    system_use, kind_use = uses.of(SYSTEM), uses.of(kind_scope(run.kind))
    if could_start and system is None:
        system_use = system_use.full()
    if system is not None and kind is None:
        kind_use = kind_use.full()
    view = WideView(
        mode=sample.mode if sample else "normal",
        closed=sample.closed if sample else {},
        system_free=system is not None or not could_start,
        kind_free=kind is not None or system is None,
        waiters=waiters,
        system_used=system_use.used,
        system_cap=system_use.cap,
        kind_used=kind_use.used,
        kind_cap=kind_use.cap,
        pressure=sample.pressure if sample else "ok",
    )
    return WideFacts(view, system, kind, line)


def _somebody_waits(tx: Tx, deps: Deps, kind: str, out: Collection[str]) -> bool:
    """Whether any tenant, this one included, offers a run that could start: no barging past it."""
    kinds = sorted({*deps.kinds, kind} - (set(out) - {kind}))
    return bool(tx.hint(Tenant, where(Tenant, ("offers", "array_contains_any", kinds), order=("turn",), limit=1)))
