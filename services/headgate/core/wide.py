"""Wide scopes: `system`, kinds and the line are shared by all tenants, so their slots are dealt out over shards.

A shard is a document with a credit; a run holds a wide slot by standing in one shard. Shards of one scope add up to
its cap. To change a cap every shard is closed (`settle`) and, once no more are held than the new cap allows, the
credits are dealt anew: nobody loses a slot and free capacity is never negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from headgate.core.limits import Override
from headgate.core.signals import Pressure

MAX_SHARDS = 64
UNLIMITED_SHARDS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeState:
    """How far a change of mode or a closed kind has come: `pausing` until every pending run was given back."""

    id: str
    state: str
    mode: str = "reject"
    reason: str = ""
    by: str = ""
    since: int = 0
    until: int | None = None
    ticket: str | None = None
    total: int | None = None
    """Of a mode: how many runs were live when it began."""
    drained_at: int | None = None
    """Of a drain that came to its end: when the last of them ended (ms)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A wide scope's cap (None = no limit): that of its `override`, else `base`, the policy's. Its shard count, and, on
    `system`, the mode and the closed kinds."""

    id: str
    shards: int
    cap: int | None
    base: int | None = None
    override: Override | None = None
    settle: bool = False
    mode: str = "normal"
    mode_state: ModeState | None = None
    closed: Mapping[str, ModeState] = field(default_factory=dict)
    pressure: Pressure = field(default_factory=Pressure)
    ramps: Mapping[str, int] = field(default_factory=dict)
    """On `system`: wide scopes that take up again, since when (ms). Every system and line shard carries them too."""
    next_start: int = 0
    """Of any wide scope: while it is paced, the moment (ms) of its next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """`free` = a run could take a slot here. `rnd` spreads callers. `v`, on system shards, is the fleet's virtual time."""

    id: str
    scope: str
    index: int
    credit: int | None
    holders: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    """Of the line: how many wait here. Who they are the runs say; their names here would grow with the line."""
    settle: bool = False
    free: bool = True
    rnd: float = 0.0
    mode: str = "normal"
    closed: Mapping[str, str] = field(default_factory=dict)
    pressure: str = "ok"
    slow: bool = False
    ramps: Mapping[str, int] = field(default_factory=dict)
    v: float = 0.0


def shard_count(cap: int | None) -> int:
    """As many as the cap, 64 at most, at least one; 16 for a scope without a limit."""
    return UNLIMITED_SHARDS if cap is None else max(1, min(cap, MAX_SHARDS))


def shard_id(scope: str, index: int) -> str:
    """`kind:git`, 3 gives `kind:git~3`."""
    return f"{scope}~{index}"


def new_scope(scope: str, cap: int | None) -> tuple[Control, tuple[Shard, ...]]:
    """Control and shards of a scope that did not exist; credits add up to the cap."""
    count = shard_count(cap)
    shards = tuple(
        Shard(id=shard_id(scope, i), scope=scope, index=i, credit=None, free=True, rnd=i / count) for i in range(count)
    )
    return Control(id=scope, shards=count, cap=cap, base=cap), tuple(_dealt(shards, cap))


def held(shards: Sequence[Shard]) -> int:
    """Slots in use over all shards."""
    return sum(used(shard) for shard in shards)


def used(shard: Shard) -> int:
    """Slots, or places in line, that are taken here."""
    return len(shard.holders) + shard.waiting


def full(shard: Shard) -> bool:
    """Whether nothing can be taken here now."""
    return shard.settle or (shard.credit is not None and used(shard) >= shard.credit)


def taken(shard: Shard, run_id: str, now: int) -> Shard:
    """The shard with one more holder. Taking twice is once."""
    return _open(replace(shard, holders={**shard.holders, run_id: now}))


def given(shard: Shard, run_id: str) -> Shard:
    """The shard without that holder. Giving back twice is once."""
    return _open(replace(shard, holders={run: at for run, at in shard.holders.items() if run != run_id}))


def overridden(control: Control, override: Override | None) -> Control:
    """The scope with its limit set at run time, or (None) back at the policy's; the shards are still to be closed."""
    return _capped(replace(control, override=override))


def rebased(control: Control, base: int | None) -> Control:
    """The scope after the policy has changed: an override keeps standing."""
    return _capped(replace(control, base=base))


def _capped(control: Control) -> Control:
    cap = control.base if control.override is None else control.override.limit
    return replace(control, cap=cap, settle=control.settle or cap != control.cap)


def closed(control: Control, shards: Sequence[Shard]) -> tuple[Control, tuple[Shard, ...]]:
    """The scope with the cap that was signed, every shard closed, to be dealt anew. A shard that is gone is made again,
    empty, with what all of its scope carry alike; none can be where not one is left."""
    known = {shard.index: shard for shard in shards}
    alike = [
        known[i] if i in known else replace(one, id=shard_id(control.id, i), index=i, holders={}, waiting=0,
                                            rnd=i / control.shards)
        for one in shards[:1]
        for i in range(control.shards)
    ]  # fmt: skip
    after = tuple(_open(replace(shard, settle=True)) for shard in alike)
    return _capped(replace(control, settle=True)), after


def joined(shard: Shard) -> Shard:
    """The shard of the line with one more that waits."""
    return _open(replace(shard, waiting=shard.waiting + 1))


def left(shard: Shard, run_id: str) -> Shard:
    """The shard of the line with one less. Only in the commit that takes the run out of `queued`, so once each. (Up to
    version 4 the runs were listed by name: those are taken off the list.)"""
    return given(shard, run_id) if run_id in shard.holders else _open(replace(shard, waiting=shard.waiting - 1))


def recounted(shard: Shard, waiting: int) -> Shard:
    """The shard of the line with a count that was made anew."""
    return _open(replace(shard, holders={}, waiting=waiting))


def deal(control: Control, shards: Sequence[Shard]) -> tuple[Control, tuple[Shard, ...]] | None:
    """Credits for the control's cap, or None while more is held than it allows (a later release deals)."""
    if control.cap is not None and held(shards) > control.cap:
        return None
    return replace(control, settle=False), tuple(_dealt(shards, control.cap))


def _dealt(shards: Sequence[Shard], cap: int | None) -> list[Shard]:
    if cap is None:
        return [_open(replace(shard, credit=None, settle=False)) for shard in shards]
    share, extra = divmod(cap - held(shards), len(shards))
    return [
        _open(replace(shard, credit=used(shard) + share + (i < extra), settle=False)) for i, shard in enumerate(shards)
    ]


def _open(shard: Shard) -> Shard:
    return replace(shard, free=not full(shard))
