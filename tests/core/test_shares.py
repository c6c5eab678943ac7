"""Entitled and received: by hand, by laws, and over the fleet in virtual time with a FIFO order as the control."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from headgate.core.run import Event, Run, RunState
from headgate.core.shares import Claims, Span, entitled, jain, longest_wait, shares, spans
from headgate.core.tenant import Tenant
from tests.support.fleet import Fleet, a_fleet
from tests.support.values import NOW, a_run

SECOND = 1000
HOUR = (0, 3600 * SECOND)


def span(start: float, end: float, *scopes: str) -> Span:
    return Span(round(start * SECOND), round(end * SECOND), scopes)


@pytest.mark.parametrize(
    ("wants", "weights", "slots", "expected"),
    [
        ({"a": 9, "b": 9}, {"a": 1, "b": 1}, 6, {"a": 3, "b": 3}),
        ({"a": 9, "b": 1}, {"a": 1, "b": 1}, 6, {"a": 5, "b": 1}),  # what one leaves goes to the other
        ({"a": 9, "b": 9}, {"a": 2, "b": 1}, 6, {"a": 4, "b": 2}),
        ({"a": 9, "b": 9, "c": 1}, {"a": 2, "b": 1, "c": 5}, 7, {"a": 4, "b": 2, "c": 1}),
        ({"a": 1, "b": 1}, {"a": 1, "b": 1}, 6, {"a": 1, "b": 1}),
        ({"a": 0, "b": 4}, {"a": 1, "b": 1}, 3, {"a": 0, "b": 3}),
        ({}, {}, 3, {}),
    ],
)
def test_water_filling(
    wants: dict[str, int], weights: dict[str, float], slots: int, expected: dict[str, float]
) -> None:
    assert entitled(wants, weights, slots) == pytest.approx(expected)


def test_water_filling_gives_out_all_there_is() -> None:
    chance = random.Random(1)
    for _ in range(300):
        wants = {str(n): chance.randrange(6) for n in range(chance.randrange(1, 7))}
        weights = {tenant: chance.choice([0.5, 1.0, 3.0]) for tenant in wants}
        slots = chance.randrange(12)
        due = entitled(wants, weights, slots)
        assert sum(due.values()) == pytest.approx(min(slots, sum(wants.values())))
        assert all(-1e-9 <= due[t] <= wants[t] + 1e-9 for t in wants)


def test_two_tenants_by_hand() -> None:
    """Two slots for 100 s: A holds both while B waits from 20 s on; at 60 s B gets one."""
    parts = shares(
        {
            "a": Claims(held=[span(0, 60), span(0, 100)], waited=[span(60, 100)]),
            "b": Claims(held=[span(60, 100)], waited=[span(20, 60)]),
            "idle": Claims(),
        },
        (0, 100 * SECOND),
    )

    assert (parts["a"].entitled, parts["a"].received, parts["a"].held) == (40.0, 40.0, 160.0)
    assert (parts["b"].entitled, parts["b"].received, parts["b"].held) == (40.0, 0.0, 40.0)
    assert not parts["idle"].demand


def test_only_the_window_counts() -> None:
    claims = {"a": Claims(held=[span(-50, 50), span(90, 500)], waited=[span(-9, 400)])}
    assert shares(claims, (0, 100 * SECOND))["a"].held == 60.0


def test_who_is_held_back_by_its_own_caps_has_no_demand() -> None:
    full = Claims(cap=2, held=[span(0, 10), span(0, 10)], waited=[span(0, 10)])
    repo = Claims(caps={"repo:o/n": 1}, held=[span(0, 10, "repo:o/n")], waited=[span(0, 10, "repo:o/n")])
    free = Claims(caps={"repo:o/n": 1}, held=[span(0, 10, "repo:o/n")], waited=[span(0, 10, "repo:o/m")])
    parts = shares({"full": full, "repo": repo, "free": free}, (0, 10 * SECOND))
    assert {tenant: part.demand for tenant, part in parts.items()} == {"full": False, "repo": False, "free": True}


@pytest.mark.parametrize(
    ("values", "index"),
    [([1.0, 1.0, 1.0], 1.0), ([3.0, 0.0, 0.0], 1 / 3), ([], None), ([0.0], None), ([2.0, 4.0], 0.9)],
)
def test_jain(values: list[float], index: float | None) -> None:
    assert jain(values) == (None if index is None else pytest.approx(index))


# --- the fleet


def first_come(arrived: dict[str, float]) -> object:
    """FIFO over the fleet: whoever came first keeps its place as long as it has runs."""

    def rule(tenants: Iterable[Tenant]) -> Tenant | None:
        return min((t for t in tenants if t.offers), key=lambda t: arrived[t.id], default=None)

    return rule


def index_of(fleet: Fleet, until: float) -> float:
    """Jain's index of a fleet whose tenants waited all the time; each of its starts holds a slot until the next end."""
    window = (0, round(until * SECOND))
    held: dict[str, list[Span]] = {tenant: [] for tenant in fleet.tenants}
    for at, tenant in fleet.starts:
        held[tenant].append(span(at, at + 10.0))
    claims = {tenant: Claims(held=spans_, waited=[span(0, until)] * 50) for tenant, spans_ in held.items()}
    parts = shares(claims, window)
    found = jain(part.received / part.entitled for part in parts.values())
    assert found is not None
    return found


def test_the_fair_order_is_fair_and_first_come_first_served_is_not() -> None:
    tenants = dict.fromkeys(("a", "b", "c", "d"), 10.0)
    fair = a_fleet(6, tenants)
    fair.arrive(*tenants)
    fifo = a_fleet(6, tenants, rule=first_come({"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}))
    fifo.arrive(*tenants)

    indices = index_of(fair.run(600), 600), index_of(fifo.run(600), 600)

    print(f"\nJain's index: fair order {indices[0]:.3f}, first come first served {indices[1]:.3f}")
    assert indices[0] >= 0.95
    assert indices[1] < 0.5


# --- from records


def lived(*marks: tuple[int, str], **fields: Any) -> Run:
    events = tuple(
        Event(seq=n, at=NOW + at * SECOND, type=f"run.{kind.partition('/')[0]}", data=reason(kind))
        for n, (at, kind) in enumerate(marks, 1)
    )
    return a_run(events=events, event_seq=len(events), **fields)


def reason(kind: str) -> dict[str, object]:
    return {"reason": kind.partition("/")[2]} if "/" in kind else {"state": kind}


@pytest.mark.parametrize(
    ("marks", "held", "waited"),
    [
        ([(0, "queued"), (5, "pending"), (6, "running"), (9, "finished")], [(5, 9)], [(0, 5)]),
        ([(0, "pending"), (1, "running")], [(0, 20)], []),
        ([(0, "queued")], [], [(0, 20)]),
        ([(0, "queued"), (4, "finished")], [], [(0, 4)]),
        # a retry waits out its backoff first, a revoked run goes straight back into the line
        (
            [(0, "pending"), (1, "running"), (4, "queued/retry"), (7, "due"), (9, "pending"), (12, "finished")],
            [(0, 4), (9, 12)],
            [(7, 9)],
        ),
        ([(0, "pending"), (2, "queued/revoke"), (5, "pending")], [(0, 2), (5, 20)], [(2, 5)]),
        ([(0, "pending"), (2, "running"), (3, "progress"), (8, "finished")], [(0, 8)], []),
    ],
)
def test_spans_of_a_run(
    marks: list[tuple[int, str]], held: list[tuple[int, int]], waited: list[tuple[int, int]]
) -> None:
    found = spans(lived(*marks), NOW + 20 * SECOND)
    assert tuple([((s.start - NOW) // SECOND, (s.end - NOW) // SECOND) for s in part] for part in found) == (
        held,
        waited,
    )


def test_a_delayed_run_waits_for_its_moment_not_for_a_slot() -> None:
    run = lived((0, "queued"), (5, "due"), (6, "pending"), not_before=NOW + 5 * SECOND)
    assert [(s.start - NOW) // SECOND for s in spans(run, NOW + 9 * SECOND)[1]] == [5]


def test_the_longest_wait() -> None:
    runs = [
        a_run("run_1", queued_at=NOW - 9_000),
        a_run("run_2", queued_at=NOW - 99_000, delayed=True),
        a_run("run_3", state=RunState.PENDING, queued_at=NOW - 500_000),
    ]
    assert longest_wait(runs, NOW) == 9.0
    assert longest_wait([], NOW) == 0.0
