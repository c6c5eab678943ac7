"""Fairness, measured: what each tenant was entitled to over a window and what it got, from its runs' own records.

At every moment the slots in use are entitled to the tenants that hold some or could take some: in proportion to their
weights, to no tenant more than it could use under its own caps; what one leaves goes to the others. Entitled and
received are integrals of that, in slot-seconds, over the time in which the tenant had waiters that could start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headgate.core.run import Run, RunState


class Span(NamedTuple):
    """From and to (ms), of a run in these scopes inside its tenant."""

    start: int
    end: int
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """A tenant in the window: its weight, its cap, the caps inside it, when its runs held slots and when they waited."""

    weight: float = 1.0
    cap: int | None = None
    caps: Mapping[str, int] = field(default_factory=dict)
    held: Sequence[Span] = ()
    waited: Sequence[Span] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Slot-seconds: entitled to and received while waiters could have started, and held in all. `demand` = whether
    there was such a time."""

    entitled: float = 0.0
    received: float = 0.0
    held: float = 0.0
    demand: bool = False


HOLDING = frozenset({"run.pending", "run.running"})
"""Events after which a run holds its slots."""
_MOVES = HOLDING | {"run.queued", "run.due", "run.finished"}


def spans(run: Run, now: int) -> tuple[list[Span], list[Span]]:
    """When a run held slots, and when it waited for them, from its events. A delayed run waits for its moment, not for
    a slot."""
    held: list[Span] = []
    waited: list[Span] = []
    marks = [event for event in run.events if event.type in _MOVES]
    ends = [event.at for event in marks[1:]] + [now]
    for event, end in zip(marks, ends, strict=True):
        span = Span(event.at, end, run.scopes)
        if event.type in HOLDING:
            whole = bool(held) and held[-1].end == span.start  # pending and running are one holding
            held = [*held[:-1], held[-1]._replace(end=end)] if whole else [*held, span]
        elif event.type == "run.due" or (event.type == "run.queued" and not _delayed(run, event.data, event.at)):
            waited.append(span)
    return held, waited


def _delayed(run: Run, data: Mapping[str, object], at: int) -> bool:
    """Whether a run that was queued then had to wait for a moment or an answer first."""
    if "reason" in data:
        return data["reason"] in ("retry", "give_up_for_input")
    return run.not_before is not None and run.not_before > at


def shares(tenants: Mapping[str, Claims], window: tuple[int, int]) -> dict[str, Part]:
    """Each tenant's part of the window (ms)."""
    states = {tenant: _State(claims) for tenant, claims in tenants.items()}
    moments = _moments(tenants, window)
    ends = [at for at, _ in moments[1:]] + [window[1]]
    for (at, changes), end in zip(moments, ends, strict=True):
        for change in changes:
            states[change.tenant].apply(change)
        _add(states, (end - at) / 1000)
    return {tenant: state.part() for tenant, state in states.items()}


def jain(values: Iterable[float]) -> float | None:
    """Jain's index: 1 = all alike, 1/n = one of n has everything; None for nobody."""
    known = list(values)
    squares = sum(value * value for value in known)
    return sum(known) ** 2 / (len(known) * squares) if squares else None


def longest_wait(runs: Iterable[Run], now: int) -> float:
    """Seconds that the longest of these has stood in line so far."""
    since = [run.queued_at or run.created_at for run in runs if run.state is RunState.QUEUED and not run.delayed]
    return max(((now - at) / 1000 for at in since), default=0.0)


class _Change(NamedTuple):
    tenant: str
    scopes: tuple[str, ...]
    holding: int
    waiting: int


class _State:
    """A tenant at one moment, and its sums so far."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.holding = 0
        self._held_in: dict[str, int] = {}
        self._waiting: dict[tuple[str, ...], int] = {}
        self._sums = [0.0, 0.0, 0.0]
        self._demand = False

    def apply(self, change: _Change) -> None:
        """A run takes or gives back a slot, begins or ceases to wait."""
        self.holding += change.holding
        for scope in change.scopes:
            self._held_in[scope] = self._held_in.get(scope, 0) + change.holding
        if change.waiting:
            self._waiting[change.scopes] = self._waiting.get(change.scopes, 0) + change.waiting

    def startable(self) -> int:
        """How many of its waiters its own caps would let start."""
        caps = self.claims.caps
        lanes = (
            min([count, *(caps[scope] - self._held_in.get(scope, 0) for scope in scopes if scope in caps)])
            for scopes, count in self._waiting.items()
        )
        room = float("inf") if self.claims.cap is None else self.claims.cap - self.holding
        return int(max(0, min(room, sum(max(0, lane) for lane in lanes))))

    def add(self, seconds: float, entitled: float, startable: int) -> None:
        """So many seconds like this."""
        self._sums[2] += self.holding * seconds
        if startable and seconds:
            self._demand = True
            self._sums[0] += entitled * seconds
            self._sums[1] += self.holding * seconds

    def part(self) -> Part:
        """The sums."""
        entitled, received, held = self._sums
        return Part(entitled=entitled, received=received, held=held, demand=self._demand)


def _moments(tenants: Mapping[str, Claims], window: tuple[int, int]) -> list[tuple[int, list[_Change]]]:
    """Every moment of the window at which something changes, with the changes; its beginning too."""
    found: dict[int, list[_Change]] = {window[0]: []}
    for tenant, claims in tenants.items():
        for known, step in ((claims.held, (1, 0)), (claims.waited, (0, 1))):
            for span in known:
                start, end = max(span.start, window[0]), min(span.end, window[1])
                if start < end:
                    found.setdefault(start, []).append(_Change(tenant, span.scopes, *step))
                    found.setdefault(end, []).append(_Change(tenant, span.scopes, -step[0], -step[1]))
    return sorted(found.items())


def _add(states: Mapping[str, _State], seconds: float) -> None:
    startable = {tenant: state.startable() for tenant, state in states.items()}
    wants = {tenant: state.holding + startable[tenant] for tenant, state in states.items()}
    weights = {tenant: state.claims.weight for tenant, state in states.items()}
    due = entitled(wants, weights, sum(state.holding for state in states.values()))
    for tenant, state in states.items():
        state.add(seconds, due[tenant], startable[tenant])


def entitled(wants: Mapping[str, int], weights: Mapping[str, float], slots: int) -> dict[str, float]:
    """So many slots by weight, to nobody more than it wants, what one leaves to the others (water-filling)."""
    due = dict.fromkeys(wants, 0.0)
    hungry, left = {tenant for tenant, want in wants.items() if want > 0}, float(slots)
    while hungry and left > 0:
        level = left / sum(weights[tenant] for tenant in hungry)
        sated = {tenant for tenant in hungry if wants[tenant] <= level * weights[tenant]}
        if not sated:
            return due | {tenant: level * weights[tenant] for tenant in hungry}
        due |= {tenant: float(wants[tenant]) for tenant in sated}
        left -= sum(wants[tenant] for tenant in sated)
        hungry -= sated
    return due
