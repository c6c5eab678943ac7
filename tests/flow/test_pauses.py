"""Pauses of kinds and a tenant's status act as the table of the modes says; what is timed ends by itself; what a dead
process began is finished; and every one leaves its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core.access import Caller, Role
from headgate.core.errors import Forbidden, InvalidRequest, NotFound
from headgate.core.run import Run
from headgate.core.scopes import split_name
from headgate.core.wide import Control
from headgate.flow import fleet, invariants, pause, pauses, standing, sweep, work
from headgate.flow.pause import Pause
from headgate.handlers.interface import Failed
from headgate.store.documents import AuditRecord, where
from headgate.store.sqlite import open_sqlite
from headgate.store.transaction import Tx
from tests.support.live import Live
from tests.support.places import store_over
from tests.support.world import World

TABLE = [
    ("reject", "SCOPE_PAUSED", "queued", "queued", "running"),
    ("hold", "queued", "queued", "queued", "running"),
    ("drain", "SCOPE_PAUSED", "cancelled", "cancelled", "running"),
    ("drain_cancel", "SCOPE_PAUSED", "cancelled", "cancelled", "cancelled"),
]
AGAIN = Failed(code="HANDLER_ERROR", message="try again", retryable=True)


def three(world: World, **asked: str) -> tuple[Run, Run, Run]:
    """One running, one pending, one in line."""
    running = world.claim(world.accepted(repo="o/n", **asked))
    return running, world.accepted(repo="o/n", **asked), world.accepted(repo="o/n", **asked)


@pytest.mark.parametrize(("mode", "submits", "queued", "pending", "running"), TABLE)
def test_a_paused_kind(world: World, mode: str, submits: str, queued: str, pending: str, running: str) -> None:
    at_work, given, in_line = three(world, kind="git")
    other = world.accepted(kind="command")
    fleet.close_kind(world.deps, world.dispatcher, "git", mode, world.why())
    assert [world.state(run) for run in (in_line, given, at_work)] == [queued, pending, running]
    assert submits == (str(world.accepted(kind="git").state) if mode == "hold" else world.refused(kind="git"))
    assert world.state(other) == "pending"


@pytest.mark.parametrize(
    ("status", "code", "queued", "pending", "running"),
    [
        ("suspended", "TENANT_SUSPENDED", "queued", "queued", "running"),
        ("deactivated", "TENANT_DEACTIVATED", "cancelled", "cancelled", "cancelled"),
    ],
)
def test_a_tenants_status(world: World, status: str, code: str, queued: str, pending: str, running: str) -> None:
    at_work, given, in_line = three(world)
    tenant = standing.set_status(world.deps, world.dispatcher, "acme", status, world.why("unpaid"))
    assert (tenant.status, tenant.status_gate and tenant.status_gate.state) == (status, "paused")
    assert [world.state(run) for run in (in_line, given, at_work)] == [queued, pending, running]
    assert world.refused() == code
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(in_line) == queued
    tenant = standing.set_status(world.deps, world.dispatcher, "acme", "active", world.why("paid"))
    assert (tenant.status, tenant.status_gate) == ("active", None)
    waited = sorted(world.state(run) for run in (given, in_line))
    assert waited == (["pending", "queued"] if status == "suspended" else ["cancelled", "cancelled"])
    records = world.deps.store.query(AuditRecord, where(AuditRecord, ("subject", "==", "tenant:acme"), order=("-at",)))
    assert {(record.action, record.reason) for record in records} == {("status.set", "unpaid"), ("status.set", "paid")}


def test_a_second_pause_is_recorded_with_the_first_as_what_was_before(world: World) -> None:
    for mode in ("hold", "reject"):
        pause.pause(world.deps, world.dispatcher, "acme", Pause(scope="user:ada", mode=mode), world.why())
        fleet.close_kind(world.deps, world.dispatcher, "git", mode, world.why())
        world.clock.forward(1)
    for subject in ("user:acme/ada", "kind:git"):
        query = where(AuditRecord, ("subject", "==", subject), order=("-at",))
        second, first = world.deps.store.query(AuditRecord, query)
        assert (first.before, first.after["mode"]) == (None, "hold")
        assert second.before == {**first.after, "state": "paused"}
        assert second.after["mode"] == "reject"
    fleet.open_kind(world.deps, world.dispatcher, "git", world.why())
    last = world.deps.store.query(AuditRecord, where(AuditRecord, ("subject", "==", "kind:git"), order=("-at",)))[0]
    assert (last.action, last.before["mode"], last.after) == ("kind.resumed", "reject", None)


def test_a_closed_kind_whose_record_is_another_s_is_noticed(world: World) -> None:
    fleet.close_kind(world.deps, world.dispatcher, "git", "hold", world.why())
    [record] = world.deps.store.query(AuditRecord, where(AuditRecord, ("subject", "==", "kind:git"), order=("-at",)))

    def refile(subject: str) -> None:
        def body(tx: Tx) -> None:
            kept = tx.get(AuditRecord, record.id)
            assert kept is not None
            tx.put(replace(kept, subject=subject))

        world.deps.store.transact(body, "damage")

    assert not invariants.check(world.deps).violations
    refile("system")
    assert [(v.invariant, v.subject) for v in invariants.check(world.deps).violations] == [("I9", "kind:git")]
    refile("kind:git")


def test_the_same_status_again_changes_nothing(world: World) -> None:
    for _ in range(2):
        standing.set_status(world.deps, world.dispatcher, "acme", "suspended", world.why())
    assert len(world.deps.store.query(AuditRecord, where(AuditRecord))) == 1


@pytest.mark.parametrize("mode", ["drain", "drain_cancel"])
def test_a_run_of_a_drained_kind_is_not_tried_again(world: World, mode: str) -> None:
    run = world.claim(world.accepted(kind="git"))
    fleet.close_kind(world.deps, world.dispatcher, "git", mode, world.why())
    if mode == "drain":
        world.finish(run, AGAIN)
    assert world.state(run) == "cancelled"


def test_a_run_of_a_kind_that_only_rejects_is_tried_again(world: World) -> None:
    run = world.claim(world.accepted(kind="git"))
    fleet.close_kind(world.deps, world.dispatcher, "git", "reject", world.why())
    world.finish(run, AGAIN)
    assert world.state(run) == "queued"


def test_who_paused_first_does_not_answer_before_it_is_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pause at once: the second one's gate replaces the first one's before anything was given back."""
    run = world.accepted()
    with monkeypatch.context() as patch:
        patch.setattr(pause, "finish_pause", lambda *facts: None)
        first = world.why()
        pause.pause(world.deps, world.dispatcher, "acme", Pause(), first)
        pause.pause(world.deps, world.dispatcher, "acme", Pause(mode="hold"), world.why())
    pause.finish_pause(world.deps, "acme", "tenant", first.id)
    assert world.state(run) == "queued"
    sweep.sweep(world.deps, world.dispatcher)
    assert world.tenant().gates["tenant"].state == "paused"


def dies(*facts: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("switch", ["kind", "status", "maintenance"])
def test_the_sweep_finishes_what_a_dead_process_began(
    world: World, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    run = world.accepted()
    begins: dict[str, tuple[object, str, Callable[[], object]]] = {
        "kind": (
            fleet,
            "finish_kind",
            lambda: fleet.close_kind(world.deps, world.dispatcher, "command", "drain", world.why()),
        ),
        "status": (
            standing,
            "finish_status",
            lambda: standing.set_status(world.deps, world.dispatcher, "acme", "deactivated", world.why()),
        ),
        "maintenance": (
            fleet,
            "finish_mode",
            lambda: fleet.set_mode(world.deps, world.dispatcher, "maintenance", world.why()),
        ),
    }
    module, name, begin = begins[switch]
    with monkeypatch.context() as patch:
        patch.setattr(module, name, dies)
        with pytest.raises(KeyboardInterrupt):
            begin()
    world.clock.forward(200)
    half_way = [found.invariant for found in invariants.check(world.deps).violations]
    assert "I10" in half_way
    sweep.sweep(world.deps, world.dispatcher)
    assert world.state(run) == ("queued" if switch == "maintenance" else "cancelled")


def test_a_status_without_its_record_is_noticed(world: World) -> None:
    tenant = standing.set_status(world.deps, world.dispatcher, "acme", "suspended", world.why())
    assert tenant.status_gate is not None
    id = tenant.status_gate.id

    def forget(tx: Tx) -> None:
        tx.get(AuditRecord, id)
        tx.delete(AuditRecord, id)

    world.deps.store.transact(forget, "damage")
    found = [(v.invariant, v.subject) for v in invariants.check(world.deps).violations]
    assert found == [("I9", "tenant:acme")]
    standing.set_status(world.deps, world.dispatcher, "acme", "active", world.why())


def open_again(path: Path) -> Live:
    return Live(store_over(open_sqlite(path, sync="normal")))


def test_a_timed_pause_ends_by_itself_after_a_restart(tmp_path: Path) -> None:
    first = open_again(tmp_path / "headgate.db")
    first.prepare(acme="pro")
    soon = first.deps.store.now() + 1500
    for scope in ("tenant", "repo:o/r"):
        asked = Pause(scope=scope, until=soon, ticket="INC-1")
        pause.pause(first.deps, first.dispatcher, "acme", asked, first.why())
    fleet.close_kind(first.deps, first.dispatcher, "git", "hold", first.why(), until=soon, ticket="INC-1")
    kept = soon + 3_600_000
    pause.pause(first.deps, first.dispatcher, "acme", Pause(scope="user:ada", until=kept), first.why())
    first.close()

    second = open_again(tmp_path / "headgate.db")
    second.prepare()
    operator = Caller(credential="op", role=Role.OPERATOR)
    named = {one.scope: one.ticket for one in pauses.standing(second.deps, operator)}
    assert named == {"kind:git": "INC-1", "repo:acme/o/r": "INC-1", "tenant:acme": "INC-1", "user:acme/ada": None}
    while second.deps.store.now() <= soon:
        second.deps.timing.sleep(0.05)
    sweep.sweep(second.deps, second.dispatcher)
    assert [one.scope for one in pauses.standing(second.deps, operator)] == ["user:acme/ada"]
    second.assert_books_balance()
    second.close()


def test_a_kinds_pause_that_outlives_its_time_is_noticed(world: World) -> None:
    until = world.clock.ms + 60_000
    fleet.close_kind(world.deps, world.dispatcher, "git", "hold", world.why(), until=until)
    world.clock.forward(300)
    assert [(v.invariant, v.subject) for v in invariants.check(world.deps).violations] == [("I10", "kind:git")]
    sweep.sweep(world.deps, world.dispatcher)
    control = world.deps.store.get(Control, "system")
    assert control is not None
    assert not control.closed


def test_a_tenant_has_so_many_pauses_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "MOST_PAUSES", 3)

    def put_up(tenant: str, local: str) -> pauses.Standing:
        return pauses.put_up(
            world.deps, world.dispatcher, pauses.Scope(tenant, local), Pause(scope=local), world.why("flood")
        )

    for name in "abc":
        put_up("acme", f"user:{name}")
    with pytest.raises(InvalidRequest, match="acme has 3 pauses, which is the most: resume one") as refused:
        put_up("acme", "user:d")
    assert refused.value.field == "scope"
    assert put_up("acme", "user:c").reason == "flood"  # one that stands may be replaced
    assert put_up("acme", "tenant").state == "paused"  # and the whole tenant can always be stopped
    pauses.take_down(world.deps, world.dispatcher, pauses.Scope("acme", "user:a"), world.why())
    pauses.take_down(world.deps, world.dispatcher, pauses.Scope("acme", "tenant"), world.why())
    assert put_up("acme", "user:d").state == "paused"


# --- names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("system", (None, "system")),
        ("kind:git", (None, "kind:git")),
        ("tenant:acme", ("acme", "tenant")),
        ("org:acme/o", ("acme", "org:o")),
        ("repo:acme/o/r", ("acme", "repo:o/r")),
        ("user:acme/ada@example.org", ("acme", "user:ada@example.org")),
        ("user:acme/a/b c", ("acme", "user:a/b c")),
    ],
)
def test_a_scopes_name(name: str, expected: tuple[str | None, str]) -> None:
    assert split_name(name) == expected


@pytest.mark.parametrize(
    "name",
    ["", "git", "kind:", "tenant:", "tenant:a/b", "repo:acme/o", "repo:acme/o/r/x", "org:acme/", "user:acme", "user:acme/",
     "line:system", "user:acme/a\nb", "repo:acme/o/" + "x" * 300, "kind:../..", "tenant:-"],
)  # fmt: skip
def test_what_is_no_scope(name: str) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        split_name(name)


def test_who_may_pause_what(world: World) -> None:
    owner, operator = world.caller(), Caller(credential="op", role=Role.OPERATOR)
    assert pauses.pausable(world.deps, owner, "repo:acme/o/r").local == "repo:o/r"
    assert pauses.pausable(world.deps, operator, "kind:git").kind == "git"
    with pytest.raises(Forbidden):
        pauses.pausable(world.deps, owner, "kind:git")
    for foreign in ("tenant:other", "repo:other/o/r"):
        with pytest.raises(NotFound):
            pauses.pausable(world.deps, owner, foreign)
    for caller, unknown in ((operator, "tenant:other"), (operator, "kind:nope")):
        with pytest.raises(NotFound):
            pauses.pausable(world.deps, caller, unknown)
    with pytest.raises(InvalidRequest):
        pauses.pausable(world.deps, operator, "system")


def test_a_late_claim_under_a_drained_kind(world: World) -> None:
    run = world.accepted(kind="git")
    fleet.close_kind(world.deps, world.dispatcher, "git", "drain", world.why())
    assert work.claim(world.deps, run.id, run.fence, "w") is None
