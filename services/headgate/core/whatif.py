"""What if the limits were others? Stored submissions replayed in the order of time, decided by `core.admission.decide`.

A replay is one small fleet: slots, a line, the fair order; every run holds its slots as long as it really did. It knows
what decides about limits and nothing else: LEFT_OUT says what that is not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import NamedTuple

from headgate.core import tenant as tenants
from headgate.core.admission import Admit, LineView, Refuse, Request, View, WideView, decide
from headgate.core.line import line_key
from headgate.core.policy import OnLimit, Policy
from headgate.core.run import Run
from headgate.core.scopes import SYSTEM, TENANT, kind_scope
from headgate.core.tenant import Holder, Tenant

LEFT_OUT = (
    "pauses, drains, back-pressure and ramps: nothing is paced and nobody is paused",
    "refusals for other reasons than a full scope or line stay refusals",
    "limits that were changed within the time looked at: `now` is the limits of this moment, all the while",
    "callers: nobody who was refused comes back, and nobody sends less because others wait",
    "how long a run that never ran would have taken: the median of its kind is assumed",
    "onLimit of a run that was admitted at once: the policy's word for a full scope is assumed",
    "the fair order is kept in parts by the real fleet: which of two tenants that both wait comes first can differ",
    "monthly quotas, plans' repositories, a repository's half of the system; a retried run holds its slots in one piece",
)
"""What the model does not know, as sentences for people."""

ADMITTED, WAITED, REFUSED = "admitted", "waited", "refused"
_FINISH, _LEAVE, _DUE, _ARRIVE = range(4)
"""At one moment slots are given back before they are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One submission as it was: `due` = when it could have started (ms); `hold` = how long it held its slots (ms).

    `left` = when it was cancelled or expired without having started; `held_at` = it held its slots before the replay
    begins, since then; `fixed` = it was refused for a reason that no limit changes. Not `counted`: it was submitted
    before the time looked at, and is there for the slots it held. `told` and `waited` (ms) are what really happened.
    """

    run: Run
    at: int
    due: int
    hold: int
    on_limit: OnLimit | None = None
    left: int | None = None
    held_at: int | None = None
    fixed: bool = False
    counted: bool = True
    told: str = ADMITTED
    waited: int = 0
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The limits of a replay: tenants without any run, the caps of `system` and `kind:…`, how many may wait in all."""

    policy: Policy
    tenants: Mapping[str, Tenant]
    wide: Mapping[str, int | None]
    line: int


class Fate(NamedTuple):
    """What became of a demand, and how long it waited (ms)."""

    outcome: str
    waited: int


def replay(demands: Sequence[Demand], ground: Ground, begin: int, end: int) -> list[Fate]:
    """The fate of each demand, in their order. What still waits when nothing happens any more has waited until `end`."""
    fleet = _Fleet(demands, ground)
    for number, demand in enumerate(demands):
        if demand.held_at is not None:
            fleet.start(number, demand.held_at)
        else:
            heappush(fleet.agenda, (max(demand.at, begin), _ARRIVE, number))
    steps = {_FINISH: fleet.finish, _LEAVE: fleet.leave, _DUE: fleet.come_due, _ARRIVE: fleet.arrive}
    while fleet.agenda:
        now, what, number = heappop(fleet.agenda)
        steps[what](number, now)
    return [fleet.fates.get(n) or Fate(WAITED, max(0, end - demand.due)) for n, demand in enumerate(demands)]


@dataclass
class _Waiting:
    """One tenant's line: by kind, the runs that need the same scopes share a heap."""

    lanes: dict[str, dict[str, list[tuple[int, int]]]] = field(default_factory=lambda: defaultdict(dict))
    seq: int = 0


class _Fleet:
    """The state of a replay. After every step nobody waits who could start: so a release can help only those who need
    what it gave back, and no one else is looked at."""

    def __init__(self, demands: Sequence[Demand], ground: Ground) -> None:
        self.demands = demands
        self.ground = ground
        self.agenda: list[tuple[int, int, int]] = []
        self.fates: dict[int, Fate] = {}
        self._tenants = dict(ground.tenants)
        self._used: Counter[str] = Counter()
        self._held: Counter[tuple[str, str]] = Counter()
        self._lines: dict[str, _Waiting] = defaultdict(_Waiting)
        self._in_line: set[int] = set()
        self._users: Counter[tuple[str, str | None]] = Counter()
        self._clock = 0.0
        self._out: set[str] = set()

    # --- what happens

    def arrive(self, number: int, now: int) -> None:
        """A submission: decided by the product's own rules."""
        demand = self.demands[number]
        if demand.fixed:
            self.fates[number] = Fate(REFUSED, 0)
            return
        decision = decide(self._request(demand, now), self._view(demand.run), self.ground.policy)
        if isinstance(decision, Refuse) and demand.counted:
            self.fates[number] = Fate(REFUSED, 0)
        elif isinstance(decision, Admit):
            self.start(number, now)
        else:  # what waited before the time looked at had been accepted: it is in line
            self._enqueue(number, now)
            self._passed()

    def start(self, number: int, now: int) -> None:
        """It takes its slots, for as long as it really held them."""
        demand = self.demands[number]
        run, tenant = demand.run, self._tenants[demand.run.tenant]
        expected = self.ground.policy.execution.expected_seconds
        holder = Holder(since=now, expected=expected, kind=run.kind, scopes=run.scopes)
        self._tenants[run.tenant] = tenants.take(tenant, run.id, holder)
        self._count(run, 1)
        self._clock = max(self._clock, tenant.served)
        self._look_at(run.tenant)
        waited = max(0, now - demand.due)
        self.fates[number] = Fate(WAITED if waited else ADMITTED, waited)
        heappush(self.agenda, (now + demand.hold, _FINISH, number))

    def finish(self, number: int, now: int) -> None:
        """It gives its slots back; who is next starts."""
        run = self.demands[number].run
        everybody, its_kind = not self._room(SYSTEM), not self._room(kind_scope(run.kind))
        self._tenants[run.tenant] = tenants.give(self._tenants[run.tenant], run.id, now)
        self._count(run, -1)
        self._look_at(run.tenant)
        self._dispatch(now, run, None if everybody else {run.kind} if its_kind else set())
        self._passed()

    def leave(self, number: int, now: int) -> None:
        """It was cancelled, or its start deadline passed, while it waited."""
        if number in self._in_line:
            self._out_of_line(number)
            self.fates[number] = Fate(WAITED, max(0, now - self.demands[number].due))

    def come_due(self, number: int, now: int) -> None:
        """A delayed run's moment."""
        if number in self._in_line:
            self._join_lane(number)
            self._dispatch(now, self.demands[number].run, set())
            self._passed()

    # --- the line

    def _enqueue(self, number: int, now: int) -> None:
        demand, run = self.demands[number], self.demands[number].run
        tenant = self._tenants[run.tenant]
        self._tenants[run.tenant] = replace(tenant, waiting=tenant.waiting + 1)
        self._users[run.tenant, run.user] += 1
        self._in_line.add(number)
        if demand.left is not None:
            heappush(self.agenda, (max(now, demand.left), _LEAVE, number))
        if demand.due > now:
            heappush(self.agenda, (demand.due, _DUE, number))
        else:
            self._join_lane(number)

    def _join_lane(self, number: int) -> None:
        demand, run = self.demands[number], self.demands[number].run
        line = self._lines[run.tenant]
        line.seq += 1
        key = line_key(run.priority, demand.at, demand.due, line.seq, self.ground.policy.ageing_seconds)
        heappush(line.lanes[run.kind].setdefault(run.lane, []), (key, number))
        self._look_at(run.tenant)

    def _look_at(self, tenant_id: str) -> None:
        """A tenant that begins to offer a kind starts at the fleet's virtual time, as in Ledger.close."""
        tenant = self._tenants[tenant_id]
        heads = () if tenants.full(tenant, TENANT) else self._heads(tenant_id, None)
        offers = {self.demands[number].run.kind for _, number in heads}
        if offers - set(tenant.offers):
            tenant = tenants.lifted(tenant, self._clock)
        self._tenants[tenant_id] = replace(tenant, offers=tuple(sorted(offers)))

    def _passed(self) -> None:
        """What a pass of dispatch finds full now: who starts in such a kind later was kept waiting by it."""
        offered = {kind for tenant in self._tenants.values() for kind in tenant.offers}
        self._out = {kind for kind in offered if not self._room(kind_scope(kind))} if self._room(SYSTEM) else set()

    def _out_of_line(self, number: int) -> None:
        run = self.demands[number].run
        tenant = self._tenants[run.tenant]
        self._tenants[run.tenant] = replace(tenant, waiting=tenant.waiting - 1)
        self._users[run.tenant, run.user] -= 1
        self._in_line.discard(number)

    def _dispatch(self, now: int, freed: Run, kinds: set[str] | None) -> None:
        """Whoever can start now does, the tenant with the least turn first, within it the first of its line.

        Looked at are the tenant of `freed`, and of the others the lanes of `kinds` (None = all).
        """
        while self._in_line and self._room(SYSTEM):
            concerned = [freed.tenant] if kinds is not None and not kinds else list(self._lines)
            found = (self._next_of(t, None if t == freed.tenant else kinds) for t in self._by_turn(concerned))
            number = next((number for number in found if number is not None), None)
            if number is None:
                return
            self._out_of_line(number)
            run = self.demands[number].run
            if run.kind in self._out:
                self._tenants[run.tenant] = tenants.lifted(self._tenants[run.tenant], self._clock)
            self.start(number, now)

    def _by_turn(self, concerned: list[str]) -> list[str]:
        waiting = [t for t in concerned if self._tenants[t].waiting and not tenants.full(self._tenants[t], TENANT)]
        return sorted(waiting, key=lambda t: (self._turn(self._tenants[t]), t))

    def _turn(self, tenant: Tenant) -> float:
        """As `core.tenant.refreshed` has it."""
        expected = self.ground.policy.execution.expected_seconds
        return tenant.served + len(tenant.holders) * expected / tenant.weight

    def _next_of(self, tenant_id: str, kinds: set[str] | None) -> int | None:
        lanes = self._lines[tenant_id].lanes
        open_kinds = {kind for kind in lanes if kinds is None or kind in kinds if self._room(kind_scope(kind))}
        return min(self._heads(tenant_id, open_kinds), default=(0, None))[1]

    def _heads(self, tenant_id: str, kinds: set[str] | None) -> Iterator[tuple[int, int]]:
        """The first of each lane of `kinds` (None = all) that nothing inside the tenant keeps from starting."""
        tenant, by_kind = self._tenants[tenant_id], self._lines[tenant_id].lanes
        for kind in by_kind if kinds is None else kinds:
            for lane, heap in list(by_kind[kind].items()):
                while heap and heap[0][1] not in self._in_line:
                    heappop(heap)
                if not heap:
                    del by_kind[kind][lane]
                elif not any(self._full(tenant, scope) for scope in self.demands[heap[0][1]].run.scopes):
                    yield heap[0]

    def _full(self, tenant: Tenant, scope: str) -> bool:
        cap = tenants.limit(tenant, scope)
        return cap is not None and self._held[tenant.id, scope] >= cap

    def _count(self, run: Run, step: int) -> None:
        for wide in (SYSTEM, kind_scope(run.kind)):
            self._used[wide] += step
        for scope in run.scopes:
            self._held[run.tenant, scope] += step

    # --- what a decision sees

    def _room(self, scope: str) -> bool:
        cap = self.ground.wide.get(scope)
        return cap is None or self._used[scope] < cap

    def _request(self, demand: Demand, now: int) -> Request:
        return Request(run=demand.run, on_limit=demand.on_limit, delayed=demand.due > now)

    def _view(self, run: Run) -> View:
        kind, line = kind_scope(run.kind), len(self._in_line) < self.ground.line
        wide = WideView(
            system_free=self._room(SYSTEM),
            kind_free=self._room(kind),
            system_used=self._used[SYSTEM],
            system_cap=self.ground.wide.get(SYSTEM),
            kind_used=self._used[kind],
            kind_cap=self.ground.wide.get(kind),
        )
        waiting = self._users[run.tenant, run.user]
        view = LineView(free=line, user_waiting=waiting, total=self.ground.line)
        return View(tenant=self._tenants[run.tenant], wide=wide, line=view)


def bare(tenant: Tenant) -> Tenant:
    """The tenant's limits without any run, pause or quota: where a replay begins."""
    return Tenant(
        id=tenant.id,
        plan=tenant.plan,
        cap=tenant.cap,
        weight=tenant.weight,
        defaults=tenant.defaults,
        base=tenant.base,
        limits=tenant.limits,
        overrides=tenant.overrides,
        on_limit=tenant.on_limit,
        quota_exempt=True,
    )


# --- what came of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of one tenant: how many were admitted at once, waited, were refused; how long those that waited did (seconds)."""

    admitted: int = 0
    waited: int = 0
    refused: int = 0
    p50: float = 0.0
    p90: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One tenant: what was recorded, what the replay makes of the present limits, and of the proposed ones."""

    tenant: str
    submitted: int
    recorded: Tally
    now: Tally
    then: Tally


def compare(demands: Sequence[Demand], now: Sequence[Fate], then: Sequence[Fate]) -> tuple[Comparison, ...]:
    """The counted demands, tenant by tenant."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, demand in enumerate(demands):
        if demand.counted:
            numbers[demand.run.tenant] += [number] * demand.times
    told = [Fate(demand.told, demand.waited) for demand in demands]
    return tuple(
        Comparison(
            tenant=tenant,
            submitted=len(mine),
            recorded=_tally([told[n] for n in mine]),
            now=_tally([now[n] for n in mine]),
            then=_tally([then[n] for n in mine]),
        )
        for tenant, mine in sorted(numbers.items())
    )


def agreeing(demands: Sequence[Demand], fates: Sequence[Fate]) -> int:
    """Of how many counted demands the replay says what really happened: how far it can be believed."""
    return sum(d.times for d, fate in zip(demands, fates, strict=True) if d.counted and d.told == fate.outcome)


def _tally(fates: Sequence[Fate]) -> Tally:
    counted = Counter(fate.outcome for fate in fates)
    waits = sorted(fate.waited / 1000 for fate in fates if fate.outcome == WAITED)
    return Tally(
        admitted=counted[ADMITTED],
        waited=counted[WAITED],
        refused=counted[REFUSED],
        p50=_percentile(waits, 0.5),
        p90=_percentile(waits, 0.9),
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that at least `share` of them do not exceed; 0 of none."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0
