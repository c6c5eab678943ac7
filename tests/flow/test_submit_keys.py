"""Keys of a submission are the tenant's own, and an Idempotency-Key has an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.core.policy import OnLimit
from headgate.flow.submit import Accepted
from tests.support.world import World

DAY = 24 * 3600


@pytest.fixture
def two(tmp_path: Path) -> World:
    return World(tmp_path, tenants={"acme": "pro", "globex": "pro"})


def test_one_idempotency_key_of_two_tenants_is_two_runs(two: World) -> None:
    ours, theirs = two.accepted("acme", key="k"), two.accepted("globex", key="k")
    assert (ours.tenant, theirs.tenant) == ("acme", "globex")
    assert ours.id != theirs.id


@pytest.mark.parametrize("on_limit", [OnLimit.SKIP, OnLimit.CANCEL_IN_PROGRESS])
def test_a_concurrency_key_looks_at_its_own_tenant_only(two: World, on_limit: OnLimit) -> None:
    theirs = two.accepted("globex", concurrency_key="deploy")
    ours = two.accepted("acme", concurrency_key="deploy", on_limit=on_limit)
    assert (two.state(ours), two.state(theirs)) == ("pending", "pending")


@pytest.mark.parametrize(("after", "replayed"), [(DAY - 1, True), (DAY, False)])
def test_an_idempotency_key_lasts_a_day(world: World, after: int, replayed: bool) -> None:
    world.finish(world.accepted(key="k"))
    world.clock.forward(after)
    answer = world.submit(key="k")
    assert isinstance(answer, Accepted)
    assert answer.replayed == replayed


def test_what_is_accepted_counts_in_the_month_and_what_is_refused_does_not(world: World) -> None:
    for _ in range(5):
        world.accepted()
    world.refused()
    assert world.tenant().month_runs == 5
