"""Lanes: whose name is whose, the one function that changes them, and the tenant's counts that move with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.lane import Lane, LaneState, lane_id, new_lane
from headgate.core.line import lane_after, lane_woken
from headgate.core.scopes import Affiliation
from headgate.core.tenant import Tenant, full, lane_moved
from tests.support.laws import counterexample, quick
from tests.support.values import a_gate, a_lane, a_run, a_tenant, holders

WEB, ADA = "repo:acme/web", "user:ada"


# --- names

TRICKY = (None, "", "-", "a", "a/b", "1:a", "1:a\x1f1:b", "\x1f", "-\x1f-", "ä", "\ud800", "0:")

LaneName = Callable[[str, Affiliation, str], str]
Place = tuple[str, Affiliation, str]


def parted(name: LaneName, places: Iterable[Place]) -> bool:
    """Whether each place has a lane of its own."""
    some = set(places)
    return len({name(*place) for place in some}) == len(some)


def every_place() -> list[Place]:
    """All combinations of names that somebody could have thought of to end up in another's lane."""
    inside = [Affiliation(*of) for of in product(TRICKY, repeat=3)]
    words = [word for word in TRICKY if word is not None]
    outside = [(t, Affiliation(u, None, r), k) for t, u, r, k in product(words, TRICKY[:4], TRICKY[:4], words)]
    return [("acme", of, "git") for of in inside] + outside


def test_no_two_places_share_a_lane() -> None:
    assert parted(lane_id, every_place())


def test_the_name_is_stable_and_fit_for_a_store() -> None:
    name = lane_id("acme", Affiliation("ada", "acme", "acme/web"), "git")
    assert name == lane_id("acme", Affiliation("ada", "acme", "acme/web"), "git")
    assert name.startswith("lane_")
    assert name.removeprefix("lane_").isalnum()


names = st.one_of(st.none(), st.text(alphabet="-:\x1fa1", max_size=4))
places = st.tuples(
    st.text(alphabet="-:\x1fa1", max_size=3), st.builds(Affiliation, names, names, names), st.sampled_from(["git", "-"])
)


@quick
@given(st.lists(places, min_size=2, max_size=20))
def test_names_full_of_separators_stay_apart(some: list[Place]) -> None:
    assert parted(lane_id, some)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(lambda t, of, k: "/".join((t, *(part or "-" for part in of), k)), id="a dash for nothing"),
        pytest.param(lambda t, of, k: "\x1f".join((t, *(str(part) for part in of), k)), id="a separator alone"),
        pytest.param(lambda t, of, k: f"{t}{of.user}{of.repo}{k}", id="without the organisation"),
    ],
)
def test_careless_names_are_noticed(name: LaneName) -> None:
    assert not parted(name, every_place())


def test_a_new_lane_is_idle_and_knows_its_scopes() -> None:
    lane = new_lane(a_run(repo="acme/web", user="ada", kind="git"))
    assert (lane.tenant, lane.kind, lane.state, lane.head) == ("acme", "git", LaneState.IDLE, None)
    assert lane.scopes == ("user:ada", "org:acme", "repo:acme/web")


# --- the one function that changes a lane

LaneAfter = Callable[[Tenant, Lane, int | None], Lane]

CASES = [
    pytest.param({}, 7, LaneState.READY, None, id="free"),
    pytest.param({}, None, LaneState.IDLE, None, id="nobody waits"),
    pytest.param({"holders": holders(2, WEB)}, 7, LaneState.PARKED, WEB, id="its repository is full"),
    pytest.param({"gates": {WEB: a_gate("hold")}}, 7, LaneState.PARKED, WEB, id="its repository is paused"),
    pytest.param({"holders": holders(3, ADA, WEB)}, 7, LaneState.PARKED, ADA, id="the first scope in the way"),
    pytest.param({"holders": holders(2, WEB)}, None, LaneState.IDLE, None, id="full, but nobody waits"),
    pytest.param({"holders": holders(5)}, 7, LaneState.READY, None, id="the tenant's cap is no lane's matter"),
    pytest.param({"gates": {"tenant": a_gate()}}, 7, LaneState.READY, None, id="nor is the tenant's pause"),
]


@pytest.mark.parametrize("before", LaneState)
@pytest.mark.parametrize(("fields", "head", "state", "on"), CASES)
def test_a_lane_after_a_change(
    before: LaneState, fields: dict, head: int | None, state: LaneState, on: str | None
) -> None:
    """What the lane was before does not matter: state follows from the tenant and the head alone."""
    lane = a_lane(user="ada", repo="acme/web", state=before, on="user:ghost", head=3)
    after = lane_after(a_tenant(**fields), lane, head)
    assert (after.state, after.on, after.head) == (state, on, head)
    assert (after.id, after.scopes, after.kind) == (lane.id, lane.scopes, lane.kind)


def test_a_woken_lane_is_ready_and_keeps_its_head() -> None:
    woken = lane_woken(a_lane(state=LaneState.PARKED, on=WEB, head=9))
    assert (woken.state, woken.on, woken.head) == (LaneState.READY, None, 9)


def well_placed(change: LaneAfter, sample: tuple[int, bool, int | None]) -> bool:
    """idle iff nobody waits; parked only on a scope of its own that is gated or full; ready only if none is."""
    used, gated, head = sample
    tenant = a_tenant(holders=holders(used, WEB), gates={WEB: a_gate("hold")} if gated else {})
    lane = change(tenant, a_lane(user="ada", repo="acme/web"), head)
    closed = {scope for scope in lane.scopes if scope in tenant.gates or full(tenant, scope)}
    if lane.state is LaneState.PARKED:
        return head is not None and lane.on in closed
    return lane.on is None and (lane.state is LaneState.IDLE) == (head is None) and (head is None or not closed)


situations = st.tuples(st.integers(0, 4), st.booleans(), st.one_of(st.none(), st.integers()))


@quick
@given(situations)
def test_a_lane_is_always_well_placed(sample: tuple[int, bool, int | None]) -> None:
    assert well_placed(lane_after, sample)


def test_parking_only_on_full_scopes_is_noticed() -> None:
    def gates_ignored(tenant: Tenant, lane: Lane, head: int | None) -> Lane:
        return lane_after(replace(tenant, gates={}), lane, head)

    counterexample(situations, lambda sample: well_placed(gates_ignored, sample))


# --- the tenant's counts

LaneMoved = Callable[[Tenant, Lane | None, Lane], Tenant]
Move = tuple[int, LaneState, str]

moves = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(LaneState), st.sampled_from([WEB, ADA, "org:acme"])), max_size=30
)


def counted(moved: LaneMoved, sample: list[Move]) -> bool:
    """Whether the counts equal a recount after every move, so that none is negative and no entry is empty."""
    lanes: dict[int, Lane] = {}
    tenant = a_tenant()
    for number, state, on in sample:
        kind = ("command", "git")[number % 2]
        after = a_lane(f"lane_{number}", kind=kind, state=state, on=on if state is LaneState.PARKED else None)
        tenant = moved(tenant, lanes.get(number), after)
        lanes[number] = after
        if (tenant.ready, tenant.parked) != recount(lanes.values()):
            return False
    return True


def recount(lanes: Iterable[Lane]) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    ready: dict[str, int] = {}
    parked: dict[str, dict[str, int]] = {}
    for lane in lanes:
        if lane.state is LaneState.READY:
            ready[lane.kind] = ready.get(lane.kind, 0) + 1
        elif lane.state is LaneState.PARKED:
            of = parked.setdefault(str(lane.on), {})
            of[lane.kind] = of.get(lane.kind, 0) + 1
    return ready, parked


@quick
@given(moves)
def test_counts_equal_a_recount_after_any_moves(sample: list[Move]) -> None:
    assert counted(lane_moved, sample)


def test_moving_a_lane_changes_no_mapping_in_place() -> None:
    """Folded commits keep the tenant as it was: a body that fails takes only its own writes with it."""
    before = a_tenant(ready={"git": 1}, parked={WEB: {"git": 1}})
    parked = a_lane(kind="git", state=LaneState.PARKED, on=WEB)
    after = lane_moved(before, parked, replace(parked, state=LaneState.READY, on=None))
    assert (before.ready, before.parked) == ({"git": 1}, {WEB: {"git": 1}})
    assert (after.ready, after.parked) == ({"git": 2}, {})


def _forgets_where_it_was(tenant: Tenant, before: Lane | None, after: Lane) -> Tenant:
    return lane_moved(tenant, None, after)


def _keeps_empty_entries(tenant: Tenant, before: Lane | None, after: Lane) -> Tenant:
    moved = lane_moved(tenant, before, after)
    return replace(moved, parked={**{scope: {} for scope in tenant.parked}, **moved.parked})


@pytest.mark.parametrize("wrong", [_forgets_where_it_was, _keeps_empty_entries])
def test_wrong_counting_is_noticed(wrong: LaneMoved) -> None:
    counterexample(moves, lambda sample: counted(wrong, sample))
