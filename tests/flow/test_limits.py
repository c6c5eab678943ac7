"""Limits at run time: set, replaced, taken back, expired; who may; what they do to those that run and those that wait."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core.access import Caller, Role
from headgate.core.errors import Code, Forbidden, HeadgateError, InvalidRequest, LimitReached, NotFound
from headgate.core.limits import MOST_OVERRIDES
from headgate.core.policy import OnLimit, Policy
from headgate.core.scopes import LINE
from headgate.core.wide import Control
from headgate.flow import audit, invariants, limits, setup
from headgate.flow.limits import Change, LimitView
from headgate.flow.submit import Accepted
from headgate.flow.sweep import sweep
from headgate.store.documents import AuditRecord, where
from headgate.store.port import Backend
from headgate.store.sqlite import open_sqlite
from tests.support.world import Clock, World

OPERATOR = Caller(credential="op", role=Role.OPERATOR)
ADMIN = Caller(credential="key_admin", role=Role.ADMIN, tenant="acme")
DAY = 24 * 3600.0


def put(
    world: World,
    scope: str,
    limit: int | None,
    caller: Caller = OPERATOR,
    until: int | None = None,
    of: str | None = None,
) -> LimitView:
    change = Change(scope=scope, limit=limit, until=until)
    why = replace(world.why("because"), actor=caller.credential)
    return limits.put_limit(world.deps, world.dispatcher, caller, change, why, of=of)


def records(world: World, **filters: str) -> list[AuditRecord]:
    return audit.log(world.deps, filters, None, 200, None)[0]


def states(world: World, *runs: object) -> list[str]:
    return [world.state(run) for run in runs]  # type: ignore[arg-type]


# --- inside a tenant


def test_a_tenant_s_own_limit_wins_over_its_plan(world: World) -> None:
    view = put(world, "tenant:acme", 2)
    assert (view.base, view.effective, view.used) == (5, 2, 0)
    assert view.override is not None
    assert (view.override.by, view.override.reason, view.override.base) == ("op", "because", 5)
    for _ in range(2):
        world.accepted()
    assert world.refused() == Code.PLAN_LIMIT_CONCURRENCY
    put(world, "tenant:acme", 7)
    for _ in range(5):
        world.accepted()
    assert world.refused() == Code.PLAN_LIMIT_CONCURRENCY
    assert put(world, "tenant:acme", None).override is None
    assert invariants.check(world.deps).violations == ()


def test_a_lowered_limit_ends_no_run_and_starts_none(world: World) -> None:
    runs = [world.accepted() for _ in range(4)]
    waiting = world.accepted(repo="o/n", on_limit=OnLimit.QUEUE, user="ada")
    put(world, "tenant:acme", 1)
    behind = world.accepted(on_limit=OnLimit.QUEUE)
    for run in (*runs, waiting):
        assert world.state(behind) == "queued"
        world.finish(run)
    assert world.state(behind) == "pending"
    assert invariants.check(world.deps).violations == ()


@pytest.mark.parametrize("scope", ["repo:acme/o/n", "user:acme/ada", "org:acme/o", "tenant:acme"])
def test_a_raised_limit_starts_who_waits_at_once(world: World, scope: str) -> None:
    put(world, scope, 1)
    first = world.accepted(repo="o/n", user="ada")
    rest = [world.accepted(repo="o/n", user="ada", kind=kind, on_limit=OnLimit.QUEUE) for kind in ("command", "git")]
    assert states(world, first, *rest) == ["pending", "queued", "queued"]
    put(world, scope, 3)
    put(world, "user:acme/ada", 5)
    put(world, "repo:acme/o/n", 5)
    assert states(world, first, *rest) == ["pending"] * 3


def test_back_to_the_policy_is_more_room_too(world: World) -> None:
    put(world, "repo:acme/o/n", 1)
    world.accepted(repo="o/n")
    waiting = world.accepted(repo="o/n")
    put(world, "repo:acme/o/n", None)
    assert world.state(waiting) == "pending"
    assert put(world, "repo:acme/o/n", None).override is None  # taking back what is not there changes nothing
    assert len(records(world, subject="repo:acme/o/n")) == 2


# --- wide scopes


def test_a_wide_limit_and_back_to_the_base(world: World) -> None:
    view = put(world, "kind:git", 1)
    assert (view.base, view.effective) == (5, 1)
    first, second = world.accepted(kind="git"), world.accepted(kind="git")
    assert states(world, first, second) == ["pending", "queued"]
    view = put(world, "kind:git", None)
    assert (view.base, view.effective, view.override, view.used) == (5, 5, None, 2)
    assert world.state(second) == "pending"
    assert put(world, "kind:command", 3).base is None
    assert put(world, "kind:command", None).effective is None


def test_the_line_s_bound(world: World) -> None:
    put(world, LINE, 2)
    world.accepted(repo="o/n"), world.accepted(repo="o/n")
    waiting = [world.accepted(repo="o/n") for _ in range(2)]
    answer = world.submit(repo="o/n")
    assert not isinstance(answer, Accepted)
    assert (answer.refusal.code, answer.refusal.limit) == (Code.QUEUE_FULL, 2)
    put(world, LINE, 1)
    assert states(world, *waiting) == ["queued", "queued"]
    assert world.refused(repo="o/n") == Code.QUEUE_FULL
    put(world, LINE, 3)
    assert world.accepted(repo="o/n").state == "queued"
    assert invariants.check(world.deps).violations == ()


# --- expiry and policy


@pytest.mark.parametrize("scope", ["tenant:acme", "user:acme/ada", "system", "kind:git", LINE])
def test_the_sweep_takes_a_limit_back_when_its_time_is_over(world: World, scope: str) -> None:
    put(world, scope, 1, until=world.clock.ms + 60_000)
    world.clock.forward(59)
    sweep(world.deps, world.dispatcher)
    assert in_force(world, scope).override is not None
    world.clock.forward(1)
    sweep(world.deps, world.dispatcher)
    assert in_force(world, scope).override is None
    [last, first] = records(world, subject=scope)
    assert (last.actor, last.action, first.action) == ("system:sweep", "limit.reset", "limit.set")
    assert last.before["limit"] == 1
    assert invariants.check(world.deps).violations == ()


def in_force(world: World, scope: str) -> LimitView:
    found = [view for view in limits.every_limit(world.deps) if view.scope == scope]
    if found:
        return found[0]
    return LimitView(scope=scope, base=None, override=None, effective=None, used=0)


def test_a_limit_that_was_set_anew_is_not_taken_back_by_an_older_expiry(world: World) -> None:
    put(world, "tenant:acme", 1, until=world.clock.ms + 1_000)
    put(world, "system", 1, until=world.clock.ms + 1_000)
    tenant, control = world.tenant(), world.deps.store.get(Control, "system")
    assert control is not None
    world.clock.forward(2)
    put(world, "tenant:acme", 2)
    put(world, "system", 2)
    for stale in (tenant, control):
        limits.expire(world.deps, world.dispatcher, stale, world.clock.ms)
    assert [in_force(world, scope).effective for scope in ("tenant:acme", "system")] == [2, 2]


def test_a_changed_policy_changes_the_base_and_overrides_stand(world: World) -> None:
    put(world, "system", 7)
    put(world, "repo:acme/o/n", 1)
    put(world, "tenant:acme", 4)
    plan = replace(Policy().plans["pro"], concurrent=9)
    policy = replace(Policy(), system=60, repo=3, kinds={"git": 2}, plans={**Policy().plans, "pro": plan}, version="v2")
    deps = replace(world.deps, policy=policy)
    setup.prepare(deps, world.dispatcher)
    seen = {view.scope: (view.base, view.effective) for view in limits.every_limit(deps)}
    assert seen["system"] == (60, 7)
    assert seen["kind:git"] == (2, 2)
    assert seen["tenant:acme"] == (9, 4)
    assert seen["repo:acme/o/n"] == (3, 1)
    based = records(world, action="limit.base")
    assert {record.subject for record in based} == {"system", "kind:git", "tenant:acme"}
    assert {record.reason for record in based} == {"policy v2"}
    assert invariants.check(deps).violations == ()
    setup.prepare(deps, world.dispatcher)
    assert len(records(world, action="limit.base")) == len(based)
    assert {v.invariant for v in invariants.check(world.deps).violations} == {"I9"}  # by the policy of before
    setup.prepare(world.deps, world.dispatcher)


# --- who may


def test_a_tenant_sets_its_own_scopes_up_to_its_plan(world: World) -> None:
    put(world, "repo:acme/o/n", 4, ADMIN, of="acme")
    put(world, "user:acme/ada", 5, ADMIN, of="acme")
    put(world, "tenant:acme", 3, ADMIN, of="acme")
    assert put(world, "tenant:acme", None, ADMIN, of="acme").effective == 5
    for scope in ("tenant:acme", "repo:acme/o/n"):
        with pytest.raises(Forbidden, match="at most 5"):
            put(world, scope, 6, ADMIN, of="acme")


def test_a_tenant_cannot_undo_what_an_operator_set(world: World) -> None:
    put(world, "tenant:acme", 1)
    for limit in (None, 5, 1):
        with pytest.raises(Forbidden, match="an operator has set this limit"):
            put(world, "tenant:acme", limit, ADMIN, of="acme")
    assert world.tenant().limits == {"tenant": 1}


@pytest.mark.parametrize(
    ("scope", "error"),
    [
        ("system", InvalidRequest),
        ("kind:git", InvalidRequest),
        (LINE, InvalidRequest),
        ("tenant:bolt", NotFound),
        ("repo:bolt/o/n", NotFound),
    ],
)
def test_a_tenant_reaches_nobody_else_s(world: World, scope: str, error: type[HeadgateError]) -> None:
    setup.create_tenant(world.deps, "bolt", "pro")
    with pytest.raises(error):
        put(world, scope, 1, ADMIN, of="acme")
    assert records(world, action="limit.set") == []


def test_only_settings_update_may(world: World) -> None:
    developer = replace(ADMIN, role=Role.DEVELOPER)
    with pytest.raises(Forbidden, match="settings:update"):
        put(world, "repo:acme/o/n", 1, developer, of="acme")


@pytest.mark.parametrize(
    "scope", ["nonsense", "line:tenant/acme", "line:user/acme/ada", "user", "kind:none", "repo:acme/n", "tenant:"]
)
def test_what_cannot_be_set_is_named(world: World, scope: str) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        put(world, scope, 1)
    assert wrong.value.field == "scope"


def test_until_must_make_sense(world: World) -> None:
    for limit, until in ((None, world.clock.ms + 1), (1, world.clock.ms)):
        with pytest.raises(InvalidRequest) as wrong:
            put(world, "system", limit, until=until)
        assert wrong.value.field == "until"
    with pytest.raises(NotFound):
        put(world, "tenant:nobody", 1)


def test_a_tenant_s_document_does_not_swell(world: World) -> None:
    for n in range(MOST_OVERRIDES):
        put(world, f"user:acme/u{n}", 1)
    with pytest.raises(InvalidRequest, match="which is the most"):
        put(world, "user:acme/one-more", 1)
    put(world, "user:acme/u0", 2)  # replacing one is no more
    put(world, "user:acme/u1", None)
    put(world, "user:acme/one-more", 1)


# --- the audit log


def test_the_log_is_paged_newest_first_and_filtered(world: World) -> None:
    setup.create_tenant(world.deps, "bolt", "pro")
    for n in range(1, 6):
        world.clock.forward(1)
        put(world, "tenant:acme" if n % 2 else "tenant:bolt", n)
    page, after = audit.log(world.deps, {}, None, 2, None)
    rest, end = audit.log(world.deps, {}, None, 200, after)
    found = [*page, *rest]
    assert [r.after["limit"] for r in found if r.action == "limit.set"] == [5, 4, 3, 2, 1]
    assert end is None
    assert [r.after["limit"] for r in audit.log(world.deps, {}, None, 9, None, "bolt")[0]] == [4, 2]
    assert [r.after["limit"] for r in audit.log(world.deps, {}, world.clock.ms - 1_000, 9, None)[0]] == [5, 4]
    assert len(records(world, actor="op", action="limit.set", subject="tenant:acme")) == 3
    assert records(world, actor="nobody") == []


def test_keys_leave_records(world: World) -> None:
    issued = setup.issue_key(world.deps, "acme", Role.ADMIN, "ci", user="ada", why=world.why("for CI"))
    world.clock.forward(1)
    setup.revoke_key(world.deps, issued.key.id, world.why("leaked"))
    setup.revoke_key(world.deps, issued.key.id, world.why("again"))
    found = records(world, subject=f"key:{issued.key.id}")
    assert [(r.action, r.reason) for r in reversed(found)] == [("key.issued", "for CI"), ("key.revoked", "leaked")]
    assert issued.token not in str(found)
    with pytest.raises(NotFound):
        setup.revoke_key(world.deps, "key_none", world.why())


# --- repositories and members


def test_a_plan_s_repositories(tmp_path: Path) -> None:
    policy = replace(Policy(), plans={"free": replace(Policy().plans["free"], concurrent=9)})
    world = World(tmp_path, policy=policy, tenants={"acme": "free"})
    for n in range(3):
        world.finish(world.accepted(repo=f"o/{n}"))
    answer = world.submit(repo="o/3")
    assert not isinstance(answer, Accepted)
    refusal = answer.refusal
    assert (refusal.code, refusal.current_usage, refusal.limit, refusal.plan) == (Code.PLAN_LIMIT_REPOS, 3, 3, "free")
    world.accepted(repo="o/0"), world.accepted()
    world.clock.forward(30 * DAY)
    assert world.refused(repo="o/3") == Code.PLAN_LIMIT_REPOS
    world.clock.forward(DAY)
    world.accepted(repo="o/3")
    assert set(world.tenant().repos) == {"o/3"}


def test_a_delayed_run_s_repository_counts_until_it_is_due_and_30_days_more(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "free"})
    due = world.clock.ms + round(50 * DAY * 1000)
    for n in range(3):
        world.accepted(repo=f"o/{n}", not_before=due)
    world.clock.forward(45 * DAY)
    assert world.refused(repo="o/3") == Code.PLAN_LIMIT_REPOS


def test_a_plan_without_a_limit_keeps_no_repositories(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "enterprise"})
    for n in range(9):
        world.accepted(repo=f"o{n}/n")
    assert world.tenant().repos == {}


def test_a_plan_s_members(tmp_path: Path) -> None:
    world = World(tmp_path, tenants={"acme": "free"})
    keys = [setup.issue_key(world.deps, "acme", Role.DEVELOPER, "k", user=f"u{n}").key for n in range(3)]
    setup.issue_key(world.deps, "acme", Role.DEVELOPER, "second", user="u0")
    setup.issue_key(world.deps, "acme", Role.OWNER, "a service has no user")
    with pytest.raises(LimitReached) as refused:
        setup.issue_key(world.deps, "acme", Role.DEVELOPER, "k", user="u3")
    assert (refused.value.code, refused.value.current_usage, refused.value.limit) == (Code.PLAN_LIMIT_MEMBERS, 3, 3)
    setup.revoke_key(world.deps, keys[1].id, world.why())
    setup.issue_key(world.deps, "acme", Role.DEVELOPER, "k", user="u3")


# --- races


def test_changes_of_a_limit_race_with_submits(tmp_path: Path) -> None:
    """Whoever wins, no more are held than the cap that stood when each was admitted, and the end of it adds up."""
    world = World(tmp_path, tenants={"acme": "enterprise"}, backend=lambda clock: _file(tmp_path, clock))
    caps = [3, 8, 1, 6, 2, 12, 4]
    held: list[int] = []

    def submit() -> None:
        for _ in range(6):
            world.submit(on_limit=OnLimit.REJECT)
            held.append(len(world.tenant().holders))

    def change() -> None:
        for cap in caps:
            put(world, "tenant:acme", cap)
            put(world, "system", cap + 3)

    threads = [threading.Thread(target=target) for target in (submit, submit, submit, change)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert max(held) <= max(caps)
    assert world.tenant().limits == {"tenant": 4}
    world.clock.forward(1)
    assert invariants.check(world.deps).violations == ()
    kept = world.deps.store.query(AuditRecord, where(AuditRecord, ("action", "==", "limit.set"), order=("-at",)))
    assert len(kept) == 2 * len(caps)


def _file(folder: Path, clock: Clock) -> Backend:
    return open_sqlite(folder / "race.db", sync="off")
