"""Places in line by blocks are what counting says, whatever was written; and they do not count the line."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from headgate.core.run import RunState
from headgate.store.port import Delete, Put, Query, Raw, Where
from headgate.store.sqlite import SqliteBackend, open_sqlite
from headgate.store.sqlite_ranks import prefix_sql
from headgate.store.sqlite_sql import select_sql
from tests.contract.samples import T, create, key, run, version_of

LINE = (Where("state", "==", "queued"), Where("delayed", "==", False))
SPREADS = (3, 2**27, 2**35, 2**43, 2**50)
"""Keys of one block, of blocks beside each other on every level, and of a line as old as lines get."""


def ahead(bound: int, tenant: str = "acme", priorities: list[int] | None = None) -> Query:
    chosen = () if priorities is None else (Where("priority", "in", priorities),)
    return Query("runs", (Where("tenant", "==", tenant), *LINE, Where("key", "<", bound), *chosen))


def by_counting(backend: SqliteBackend, query: Query) -> int:
    sql, values = select_sql(query, count=True)
    with backend._reading() as connection:
        return int(connection.execute(sql, values).fetchone()[0])


def some_run(chance: random.Random, id: str, spread: int) -> Raw:
    """A run somewhere in its life, with a key that is often another's neighbour."""
    state = chance.choice([RunState.QUEUED] * 4 + [RunState.PENDING, RunState.CANCELLED])
    return run(
        id,
        tenant=chance.choice(["acme", "acme", "other"]),
        state=state,
        delayed=state is RunState.QUEUED and chance.random() < 0.2,
        priority=chance.randrange(10),
        key=chance.choice([0, 2**60, -(2**45)]) + chance.randrange(spread),
        publish_due=1 if state is RunState.PENDING else None,
        finished_at=1 if state is RunState.CANCELLED else None,
    )


def lives(backend: SqliteBackend, chance: random.Random, spread: int, steps: int = 150) -> list[int]:
    """Runs that come, change and go; every key there was."""
    keys, there = [0], set[str]()
    for _ in range(steps):
        id = f"run_{chance.randrange(40)}"
        raw = some_run(chance, id, spread)
        if id not in there:
            backend.commit([create(raw)], T)
            there.add(id)
        elif chance.random() < 0.2:
            backend.commit([Delete(key(raw), None)], T)
            there.remove(id)
        else:
            backend.commit([Put(key(raw), raw, version_of(backend, key(raw)))], T)
        keys.append(int(raw["key"]))
    return keys


def wrong_places(backend: SqliteBackend, keys: list[int], chance: random.Random) -> list[int]:
    """The bounds at which blocks and counting disagree."""
    wrong = []
    for bound in [near for at in keys for near in (at, at + 1)]:
        priorities = chance.choice([None, [9], [3, 4, 5, 6, 7, 8, 9], []])
        query = ahead(bound, priorities=priorities)
        if backend.count(query, T) != by_counting(backend, query):
            wrong.append(bound)
    return wrong


@pytest.mark.parametrize("spread", SPREADS)
def test_blocks_say_what_counting_says(spread: int) -> None:
    chance, backend = random.Random(spread), open_sqlite(":memory:")
    keys = lives(backend, chance, spread)
    assert wrong_places(backend, keys, chance) == []
    backend.close()


@pytest.mark.parametrize("trigger", ["runs_join", "runs_leave", "runs_change_out", "runs_change_in"])
def test_a_missing_trigger_would_be_noticed(trigger: str) -> None:
    chance, backend = random.Random(1), open_sqlite(":memory:")
    with backend._reading() as connection:
        connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("PRAGMA ignore_check_constraints = ON")  # the second lock would notice some of it first
    keys = lives(backend, chance, 2**35)
    assert wrong_places(backend, keys, chance)
    backend.close()


def test_nothing_is_left_of_a_line_that_has_gone() -> None:
    chance, backend = random.Random(3), open_sqlite(":memory:")
    lives(backend, chance, 2**43)
    backend.clear([key(run(f"run_{number}")) for number in range(40)], T)
    with backend._reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM ranks").fetchone() == (0,)
    backend.close()


def test_a_commit_that_fails_leaves_the_blocks_alone() -> None:
    backend = open_sqlite(":memory:")
    backend.commit([create(run("run_a", key=5))], T)
    with pytest.raises(Exception, match="has changed"):
        backend.commit([create(run("run_b", key=3)), create(run("run_a", key=4))], T)
    assert backend.count(ahead(10), T) == 1
    backend.close()


@pytest.mark.parametrize(
    "query",
    [
        Query("runs", (Where("tenant", "==", "acme"), *LINE)),
        Query("runs", (Where("tenant", "==", "acme"), LINE[0], Where("key", "<", 3))),
        Query("runs", (*ahead(3).where, Where("kind", "==", "git"))),
        Query("runs", (Where("tenant", "==", "acme"), Where("state", "==", "running"), LINE[1], Where("key", "<", 3))),
        Query("runs", (Where("tenant", "==", "acme"), LINE[0], Where("delayed", "==", True), Where("key", "<", 3))),
        Query("lanes", (Where("tenant", "==", "acme"),)),
    ],
)
def test_any_other_count_is_counted(query: Query) -> None:
    assert prefix_sql(query) is None


def test_a_place_does_not_count_the_line(tmp_path: Path) -> None:
    """In steps of SQLite's machine, which a busy computer does not change. Counting the line is the control."""
    path, length = tmp_path / "store.db", 50_000
    open_sqlite(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) "
            "INSERT INTO runs (id, version, body, tenant, state, kind, priority, lane, key, delayed, created_at) "
            "SELECT 'run_' || i, 1, '{}', 'acme', 'queued', 'command', i % 10, 'l', i << 20, 0, 1 FROM n",
            (length,),
        )
    for last, priorities in ((length - 1, None), (length - 1, [7, 8, 9]), (length // 2, None)):
        query = ahead(last << 20, priorities=priorities)
        by_blocks = prefix_sql(query)
        assert by_blocks is not None
        place, steps = counted(connection, *by_blocks)
        assert (place, steps * 20 < counted(connection, *select_sql(query, count=True))[1]) == (
            last if priorities is None else last * 3 // 10,
            True,
        )
    connection.close()


def counted(connection: sqlite3.Connection, sql: str, values: list[object]) -> tuple[int, int]:
    """The count, and the hundreds of steps it took."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(step, 100)
    [count] = connection.execute(sql, values).fetchone()
    connection.set_progress_handler(None, 0)
    return count, steps
