"""H18: a run takes slots in some of its scopes and not in the others. All of them are one commit: whoever conflicts with
one of its documents, or dies, leaves all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headgate.core.policy import OnLimit, Policy
from headgate.core.run import Run
from headgate.store.documents import where
from headgate.store.port import Backend, Key, Put, Write
from headgate.store.sqlite import SqliteBackend
from tests.support.scenes import Killed, to_the_end, violations
from tests.support.world import Clock, World
from tests.support.wrapped import Hooked

SIX: dict[str, Any] = {"kind": "git", "user": "ada", "repo": "o/r", "on_limit": OnLimit.QUEUE}
"""Tenant, user, org and repository lie in the tenant's document, system and kind in a shard each."""
POLICY = Policy(org=3)


class Piecemeal(Hooked):
    """The wrong variant: one document after the other, so that a death leaves some of them written."""

    dies_after: int | None = None

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self.before_commit(writes)
        for number, write in enumerate(writes):
            if number == self.dies_after:
                raise Killed("between two documents")
            self.inner.commit([write], timeout)


def six_scopes(tmp_path: Path, store: type[Hooked] = Hooked) -> tuple[World, Any]:
    made: list[Hooked] = []

    def open_it(clock: Clock) -> Backend:
        made.append(store(SqliteBackend(":memory:", "off", clock)))
        return made[0]

    return World(tmp_path, POLICY, backend=open_it), made[0]


def documents_of_an_acquire(tmp_path: Path) -> list[Key]:
    world, store = six_scopes(tmp_path)
    seen: list[Key] = []
    store.before_commit = lambda writes: seen.extend(write.key for write in writes)
    world.accepted(**SIX)
    return seen


def test_an_acquire_of_six_scopes_is_one_commit(tmp_path: Path):
    world, store = six_scopes(tmp_path)
    before = store.commits
    run = world.accepted(**SIX)
    assert store.commits == before + 1
    assert set(world.tenant().holders[run.id].scopes) == {"user:ada", "org:o", "repo:o/r"}
    assert run.shards.system is not None
    assert run.shards.kind is not None


def test_whoever_conflicts_with_one_of_its_documents_makes_it_look_again(tmp_path: Path):
    keys = documents_of_an_acquire(tmp_path / "whole")
    assert {key.collection for key in keys} >= {"tenants", "runs", "shards"}
    for number, key in enumerate(keys):
        world, store = six_scopes(tmp_path / str(number))

        def touched(writes: Sequence[Write], store: Hooked = store, key: Key = key) -> None:
            store.before_commit = lambda writes: None
            found = store.inner.get([key], 1.0).found[0]
            if found.raw is not None:
                store.inner.commit([Put(key, found.raw, found.version)], 1.0)

        store.before_commit = touched
        run = world.accepted(**SIX)
        assert violations(world) == [], key
        to_the_end(world, [run])


def test_killed_before_or_after_it_all_scopes_are_held_or_none(tmp_path: Path):
    for moment in ("before", "after"):
        world, store = six_scopes(tmp_path / moment)

        def die(writes: Sequence[Write], store: Hooked = store, moment: str = moment) -> None:
            if moment == "after":
                store.inner.commit(writes, 1.0)
            raise Killed(moment)

        store.before_commit = die
        with pytest.raises(Killed):
            world.accepted(**SIX)
        store.before_commit = lambda writes: None
        assert violations(world) == []
        runs = world.deps.store.query(Run, where(Run))
        assert len(world.tenant().holders) == len(runs) == (moment == "after")
        to_the_end(world, runs)


def test_control_one_document_after_the_other_leaves_a_part(tmp_path: Path):
    count = len(documents_of_an_acquire(tmp_path / "whole"))
    half_way = 0
    for number in range(1, count):
        world, store = six_scopes(tmp_path / str(number), Piecemeal)
        store.dies_after = number
        with pytest.raises(Killed):
            world.accepted(**SIX)
        store.dies_after = None
        half_way += bool(violations(world))
    assert half_way >= count - 2
