"""What-if: the replay under the present limits says what happened, and under others what happens when they are set."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from headgate.core import whatif
from headgate.core.access import Caller, Role
from headgate.core.errors import InvalidRequest
from headgate.core.policy import LineBounds, Policy
from headgate.core.whatif import Comparison, Demand, Tally
from headgate.flow import demands, limits
from headgate.flow.limits import Change
from headgate.flow.submit import Accepted
from headgate.flow.whatif import Limits, WhatIf, what_if
from tests.support.world import START, World

OPERATOR = Caller(credential="op", role=Role.OPERATOR)
TENANTS = {"acme": "pro", "bolt": "free", "core": "enterprise"}
HOLDS = {"command": 7, "git": 20}
"""Seconds that a run of the kind holds its slots."""


@dataclass(frozen=True)
class Visit:
    """One submission of the script: after how many seconds, by whom, for what."""

    at: int
    tenant: str
    kind: str
    repo: str | None
    user: str | None


def script(seed: int, length: int = 80) -> list[Visit]:
    """A morning's submissions, each in a second of its own: of two at once nothing tells later which was first."""
    chance = random.Random(seed)
    times = sorted(chance.sample(range(130), length))
    return [
        Visit(
            at=at,
            tenant=chance.choice(sorted(TENANTS)),
            kind=chance.choice(sorted(HOLDS)),
            repo=chance.choice([None, "o/a", "o/b"]),
            user=chance.choice([None, "ada"]),
        )
        for at in times
    ]


def play(folder: Path, visits: list[Visit], proposed: Mapping[str, int], policy: Policy | None = None) -> World:
    """The script, second by second, through the real flows: what is due ends first, then who is there submits."""
    folder.mkdir()
    world = World(folder, tenants=TENANTS, policy=policy)
    for scope, limit in proposed.items():
        limits.put_limit(world.deps, world.dispatcher, OPERATOR, Change(scope=scope, limit=limit), world.why())
    world.clock.forward(1)
    ends: dict[str, int] = {}
    waiting = list(visits)
    for second in range(1_500):
        for run_id in sorted((r for r, at in ends.items() if at <= second), key=lambda r: int(r[4:])):
            del ends[run_id]
            world.finish(world.run(run_id))
            note(world, ends, second)
        while waiting and waiting[0].at == second:
            visit = waiting.pop(0)
            answer = world.submit(visit.tenant, kind=visit.kind, repo=visit.repo, user=visit.user)
            note(world, ends, second) if isinstance(answer, Accepted) else None
        if not waiting and not ends:
            break
        world.clock.forward(1)
    return world


def note(world: World, ends: dict[str, int], second: int) -> None:
    """When those that have just started will end."""
    for message in world.delivery.messages:
        run = world.run(message.run_id)
        ends.setdefault(run.id, second + HOLDS[run.kind])
    world.delivery.messages.clear()


def told(world: World, proposed: Limits | Policy | None = None) -> WhatIf:
    return what_if(world.deps, {} if proposed is None else proposed, START + 500)


def tallies(found: WhatIf, which: str) -> dict[str, Tally]:
    return {one.tenant: getattr(one, which) for one in found.tenants}


def total(found: tuple[Comparison, ...], which: str) -> Counter[str]:
    names = ("admitted", "waited", "refused")
    return Counter({name: sum(getattr(getattr(one, which), name) for one in found) for name in names})


@pytest.mark.parametrize("seed", range(4))
def test_unchanged_limits_give_what_happened(tmp_path: Path, seed: int) -> None:
    """Every decision, and every wait to the millisecond."""
    world = play(tmp_path / "w", script(seed), {})
    found = told(world)
    assert found.receipts == found.agreeing == 80
    assert tallies(found, "now") == tallies(found, "then") == tallies(found, "recorded")
    counted = total(found.tenants, "recorded")
    assert min(counted[name] for name in ("admitted", "waited", "refused")) > 3, "the scene shows nothing"


PROPOSALS: list[dict[str, int]] = [
    {"tenant:acme": 1},
    {"tenant:acme": 9},
    {"repo:core/o/a": 1, "user:acme/ada": 1},
    {"line:system": 2},
]


@pytest.mark.parametrize("proposed", PROPOSALS, ids="+".join)
def test_other_limits_give_what_happens_under_them(tmp_path: Path, proposed: dict[str, int]) -> None:
    """The same morning, once replayed and once lived under those limits: the numbers of each tenant are the same."""
    visits = script(7)
    lived = play(tmp_path / "lived", visits, proposed)
    asked = told(play(tmp_path / "asked", visits, {}), proposed)
    truth = tallies(told(lived), "recorded")
    assert tallies(asked, "then") == truth
    assert tallies(asked, "then") != tallies(asked, "now"), "the proposal changes nothing: the scene shows nothing"


@pytest.mark.parametrize("proposed", [{"system": 4}, {"kind:git": 2}], ids=["system", "kind"])
def test_what_tenants_share_is_shared_nearly_so(tmp_path: Path, proposed: dict[str, int]) -> None:
    """Which of two waiting tenants is first can differ; how many of all start at once, wait or are refused hardly does."""
    visits = script(7)
    lived = total(told(play(tmp_path / "lived", visits, proposed)).tenants, "recorded")
    asked = told(play(tmp_path / "asked", visits, {}), proposed).tenants
    off = {name: abs(total(asked, "then")[name] - lived[name]) for name in lived}
    before = {name: abs(total(asked, "now")[name] - lived[name]) for name in lived}
    assert max(off.values()) <= 4, (off, lived)
    assert max(before.values()) > 8, "the proposal changes nothing: the scene shows nothing"


def test_a_policy_changes_the_base_and_overrides_stand(tmp_path: Path) -> None:
    visits = script(7)
    policy = replace(Policy(), user=1, line=LineBounds(total=3))
    stands = {"tenant:acme": 2}
    lived = play(tmp_path / "lived", visits, stands, policy)
    asked = told(play(tmp_path / "asked", visits, stands), policy)
    assert tallies(asked, "then") == tallies(told(lived), "recorded")
    assert tallies(asked, "then") != tallies(asked, "now")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda demand: replace(demand, hold=1),
        lambda demand: replace(demand, run=replace(demand.run, repo="o/a", user=None)),
        lambda demand: replace(demand, at=demand.at - demand.at % 60_000, due=demand.at - demand.at % 60_000),
    ],
    ids=["nobody holds anything", "all are of one repository", "times are rounded"],
)
def test_a_wrong_reading_does_not_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Demand], Demand]
) -> None:
    """The negative control: the agreement that is reported falls when the replay gets something wrong."""
    world = play(tmp_path / "w", script(1), {})
    right = demands.Reading.demands
    monkeypatch.setattr(demands.Reading, "demands", lambda self: map(wrong, right(self)))
    assert told(world).agreeing < 78


def test_the_same_question_has_the_same_answer(tmp_path: Path) -> None:
    world = play(tmp_path / "w", script(2), {})
    assert told(world, {"system": 4}) == told(world, {"system": 4})


def test_one_tenant_is_replayed_beside_all_the_others(tmp_path: Path) -> None:
    world = play(tmp_path / "w", script(3), {})
    every = told(world, {"system": 3})
    only = what_if(world.deps, {"system": 3}, START + 500, "acme")
    assert only.tenants == tuple(one for one in every.tenants if one.tenant == "acme")
    assert only.receipts == only.tenants[0].submitted


def test_who_held_before_the_time_looked_at_still_holds(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "pro"})
    holders = [world.accepted() for _ in range(5)]
    world.clock.forward(60)
    since = world.clock.ms - 1_000
    world.refused()
    world.clock.forward(1)
    world.finish(holders[0])
    world.clock.forward(1)
    found = what_if(world.deps, {"tenant:acme": 6}, since)
    assert (found.receipts, found.agreeing) == (1, 1)
    assert (found.tenants[0].now.refused, found.tenants[0].then.admitted) == (1, 1)


def test_a_delayed_run_waits_only_from_its_moment(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "pro"})
    run = world.accepted(not_before=world.clock.ms + 30_000)
    world.clock.forward(30)
    from headgate.flow.sweep import start_due

    start_due(world.deps, world.dispatcher)
    world.finish(run)
    world.clock.forward(1)
    found = what_if(world.deps, {}, START - 1)
    assert found.tenants[0].now == found.tenants[0].recorded == Tally(admitted=1)


def test_a_pause_is_not_the_limits_doing(tmp_path: Path) -> None:
    from headgate.flow import pause

    world = World(tmp_path, tenants={"acme": "pro"})
    pause.pause(world.deps, world.dispatcher, "acme", pause.Pause(), world.why())
    world.refused()
    world.clock.forward(1)
    assert what_if(world.deps, {"tenant:acme": 100}, START - 1).tenants[0].then.refused == 1


@pytest.mark.parametrize(
    ("proposed", "field"),
    [
        ({"nonsense": 1}, "limits.nonsense"),
        ({"kind:none": 1}, "limits.kind:none"),
        ({"tenant:nobody": 1}, "limits.tenant:nobody"),
        ({"line:tenant/acme": 1}, "limits.line:tenant/acme"),
    ],
)
def test_what_cannot_be_proposed(tmp_path: Path, proposed: dict[str, int], field: str) -> None:
    world = World(tmp_path)
    world.clock.forward(1)
    with pytest.raises(InvalidRequest) as wrong:
        what_if(world.deps, proposed, START)
    assert wrong.value.field == field


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    for _ in range(4):
        world.accepted()
    world.clock.forward(1)
    monkeypatch.setattr(demands, "MOST", 3)
    with pytest.raises(InvalidRequest, match="give a later one"):
        what_if(world.deps, {}, START - 1)
    with pytest.raises(InvalidRequest, match="in the past"):
        what_if(world.deps, {}, world.clock.ms)


def test_percentiles() -> None:
    assert [whatif._percentile(sorted([3.0, 1.0, 2.0, 4.0]), share) for share in (0.5, 0.9)] == [2.0, 4.0]
    assert whatif._percentile([], 0.5) == 0
