"""Setting up: scopes, tenants, keys."""

from __future__ import annotations

from headgate.core.access import ApiKey, Role
from headgate.flow import setup
from headgate.store.documents import where
from tests.support.world import World


def test_a_key_is_stored_as_a_hash_only(world: World) -> None:
    issued = setup.issue_key(world.deps, "acme", Role.DEVELOPER, "ci", user="ada")
    stored = world.deps.store.query(ApiKey, where(ApiKey))
    assert stored == [issued.key]
    assert issued.token not in str(stored)
    assert setup.hash_token(issued.token) == issued.key.hash


def test_the_demo_has_a_tenant_per_plan_and_an_operator(world: World) -> None:
    demo = setup.create_demo(world.deps)
    assert set(demo["tenants"]) == {"free-demo", "pro-demo", "enterprise-demo"}  # type: ignore[call-overload]
    assert world.tenant("enterprise-demo").cap == 20
    assert world.tenant("free-demo").quota_exempt


def test_preparing_twice_changes_nothing(world: World) -> None:
    before = world.tenant()
    setup.prepare(world.deps, world.dispatcher)
    assert world.tenant() == before


def test_a_tenant_is_made_once(world: World) -> None:
    assert setup.create_tenant(world.deps, "acme", "free").plan == "pro"


def test_a_key_of_another_store_is_not_known(world: World) -> None:
    assert not setup.knows_key(world.deps, "hg_0123_secret")
    assert not setup.knows_key(world.deps, "nonsense")
