"""Why a run waits: its place, the reasons in words, who holds what it needs and until when, what would unblock it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.access import Caller, Permission
from headgate.core.reasons import Words, blocking, words
from headgate.core.run import Run, RunState
from headgate.core.scopes import SYSTEM, full_name
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.flow.deps import Deps
from headgate.flow.history import durations
from headgate.flow.overview import LineView, find_run, in_scope, line_of
from headgate.store.documents import where


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A run that holds a slot of the binding scope: since when, and when it is expected to end (ms)."""

    run_id: str
    tenant: str
    kind: str
    user: str | None
    since: int
    expected_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The whole answer. `since` = when it came into its state. `line` is None for a run that does not wait; `others` =
    holders that the caller may not see; times are ms."""

    run: Run
    since: int
    line: LineView | None
    said: Sequence[tuple[str, Words]]
    binding: str | None
    holders: Sequence[Holding]
    others: int
    expected_release: int | None
    unblock: str
    as_of: int


def why(deps: Deps, caller: Caller, tenant_id: str, run_id: str) -> Why:
    """Why the run waits, as far as the caller may see it. Raises NotFound, Forbidden."""
    run = find_run(deps, caller, tenant_id, run_id)
    line, now = line_of(deps, run), deps.store.now()
    if line is None:
        return _not_waiting(run, now)
    held = _held(deps, run, line)
    found = [holder for holder in deps.store.get_all(Run, sorted(held)) if holder is not None] if held else []
    ends = {holder.id: _expected_end(deps, holder.kind, held[holder.id], now) for holder in found}
    shown = _visible(caller, tenant_id, found)
    return Why(
        run=run,
        since=_since(run),
        line=line,
        said=[(token, words(token)) for token in line.waiting_for],
        binding=None if line.binding is None else full_name(tenant_id, line.binding),
        holders=sorted(
            (_holding(holder, held, ends) for holder in shown), key=lambda one: (one.expected_end, one.run_id)
        ),
        others=len(held) - len(shown),
        expected_release=min(ends.values(), default=None),
        unblock=words(blocking(line.waiting_for)).unblock,
        as_of=now if line.as_of is None else line.as_of,
    )


Held = Mapping[str, int]
"""Run id → since when (ms) it holds."""


def _not_waiting(run: Run, now: int) -> Why:
    said = f"The run is {run.state}: it does not wait."
    return Why(
        run=run,
        since=_since(run),
        line=None,
        said=(),
        binding=None,
        holders=(),
        others=0,
        expected_release=None,
        unblock=said,
        as_of=now,
    )


def _since(run: Run) -> int:
    """When it came into the state it is in."""
    if run.state is RunState.QUEUED:
        return run.queued_at or run.created_at
    known = run.finished_at or (run.started_at if run.state is RunState.RUNNING else run.holding_since)
    return known or run.created_at


def _held(deps: Deps, run: Run, line: LineView) -> Held:
    """Everybody in the binding scope, of whichever tenant; nobody without one."""
    if line.binding is None:
        return {}
    if line.binding == SYSTEM or line.binding.startswith("kind:"):
        shards = deps.store.query(Shard, where(Shard, ("scope", "==", line.binding), order=("index",)))
        return {id: since for shard in shards for id, since in shard.holders.items()}
    tenant = deps.store.get(Tenant, run.tenant)
    holders = tenant.holders if tenant else {}
    return {id: one.since for id, one in holders.items() if in_scope(one, line.binding)}


def _visible(caller: Caller, tenant_id: str, found: Sequence[Run]) -> list[Run]:
    """Those of the holders that are the caller's tenant's; an operator sees all."""
    sees_all = caller.may(Permission.PLATFORM_READ)
    return [run for run in found if sees_all or run.tenant == tenant_id]


def _holding(run: Run, held: Held, ends: Mapping[str, int]) -> Holding:
    return Holding(
        run_id=run.id, tenant=run.tenant, kind=run.kind, user=run.user, since=held[run.id], expected_end=ends[run.id]
    )


def _expected_end(deps: Deps, kind: str, since: int, now: int) -> int:
    return now + round(1000 * durations(deps, kind).rest(max(0, now - since) / 1000, 0.5))
