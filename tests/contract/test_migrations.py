"""Files of every earlier schema version open, migrate and keep their rows, whatever happens on the way."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.store import migrations
from headgate.store.migrations import SCHEMA_VERSION, STEPS, migrate, version_of
from headgate.store.port import Outage, Query, Where
from headgate.store.sqlite import open_sqlite
from headgate.store.sqlite_sql import select_sql
from tests.contract.samples import T, key, run

SCHEMAS = Path(__file__).parent / "schemas"
EARLIER = range(1, SCHEMA_VERSION)


def old_file(path: Path, version: int) -> None:
    """A file as that version left it, with a run in it."""
    with sqlite3.connect(path) as made:
        made.executescript((SCHEMAS / f"v{version}.sql").read_text("utf-8"))
        body = run()
        made.execute(
            "INSERT INTO runs (id, version, body, tenant, state, kind, priority, lane, key, delayed, created_at) "
            "VALUES (?, 1, ?, 'acme', 'queued', 'command', 5, '', 0, 0, 1)",
            (body["id"], json.dumps(body)),
        )
        made.execute("UPDATE clock SET commits = 1")
    made.close()


def schema(path: Path) -> set[tuple[str, str]]:
    connection = sqlite3.connect(path)
    found = set(connection.execute("SELECT type, name FROM sqlite_master"))
    connection.close()
    return found


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = version_of(connection)
    connection.close()
    return found


def test_every_earlier_version_is_kept_as_it_was():
    assert sorted(p.name for p in SCHEMAS.glob("v*.sql")) == [f"v{number}.sql" for number in EARLIER]


@pytest.mark.parametrize("number", EARLIER)
def test_an_earlier_version_is_migrated_and_keeps_its_rows(tmp_path, number):
    path, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    old_file(path, number)
    for file in (path, fresh):
        open_sqlite(file).close()
    opened = open_sqlite(path)
    found = opened.get([key(run())], T).found[0]
    opened.close()
    assert found.raw == run()
    assert found.version == 1
    assert version(path) == SCHEMA_VERSION
    assert schema(path) == schema(fresh)


@pytest.mark.parametrize("number", EARLIER)
def test_a_step_is_written_anew_never_changed(tmp_path, number):
    path = tmp_path / "stepped.db"
    connection = sqlite3.connect(path, isolation_level=None)
    for step in range(1, number + 1):
        migrations._step(connection, step)
    connection.close()
    kept = tmp_path / "kept.db"
    old_file(kept, number)
    assert schema(path) == schema(kept), f"{STEPS[number - 1]} is released: a change of it is a new step"


def test_a_newer_version_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "newer.db"
    with sqlite3.connect(path) as made:
        made.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    made.close()
    with pytest.raises(Outage, match="run a newer headgate"):
        open_sqlite(path)
    assert schema(path) == set()


def test_two_at_once(tmp_path):
    path = tmp_path / "old.db"
    old_file(path, 1)
    program = "import sys; from headgate.store.sqlite import open_sqlite; open_sqlite(sys.argv[1]).close()"
    command = [sys.executable, "-c", program, str(path)]
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: subprocess.run(command, timeout=60, check=False).returncode, range(4)))
    assert ended == [0, 0, 0, 0]
    assert version(path) == SCHEMA_VERSION


KILLER = """
import os, pathlib, shutil, signal, sqlite3, sys
from headgate.store.migrations import migrate

def attempt(path, kill_at):
    count = 0
    def trace(statement):
        nonlocal count
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.set_trace_callback(trace)
    migrate(connection, "x")

original, folder = sys.argv[1:]
for number in range(1, 200):
    path = f"{folder}/{number}.db"
    if pathlib.Path(original).exists():
        shutil.copy(original, path)
    child = os.fork()
    if not child:
        attempt(path, number)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(number)
"""


@pytest.mark.linux
@pytest.mark.parametrize("start", range(SCHEMA_VERSION))
def test_killed_at_every_statement_of_a_migration(tmp_path, start):
    original, folder, whole = tmp_path / "original.db", tmp_path / "killed", tmp_path / "whole.db"
    folder.mkdir()
    if start:
        old_file(original, start)
    ended = subprocess.run(
        [sys.executable, "-c", KILLER, str(original), str(folder)], capture_output=True, timeout=60, check=True
    )
    count = int(ended.stdout)
    assert count > 3
    open_sqlite(whole).close()
    for number in range(1, count + 1):
        path = folder / f"{number}.db"
        at = version(path)
        assert at in range(start, SCHEMA_VERSION + 1)
        before = schema(path)
        assert before == (schema(SCHEMA_FILES[at](tmp_path)) if at else set()), "half a step was left behind"
        open_sqlite(path).close()
        assert schema(path) == schema(whole)


def _made(number: int):
    def make(folder: Path) -> Path:
        path = folder / f"made-{number}.db"
        if not path.exists():
            connection = sqlite3.connect(path, isolation_level=None)
            for step in range(1, number + 1):
                migrations._step(connection, step)
            connection.close()
        return path

    return make


SCHEMA_FILES = {number: _made(number) for number in range(1, SCHEMA_VERSION + 1)}


def test_a_step_that_fails_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    old_file(path, 1)
    before = schema(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE INDEX runs_running ON runs (id)")  # in the way of step 2's last statement
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, "x")
    connection.execute("DROP INDEX runs_running")
    assert version_of(connection) == 1
    connection.close()
    assert schema(path) == before


@pytest.mark.parametrize(
    ("state", "order"), [("queued", ()), ("pending", ("created_at",)), ("running", ("created_at",))]
)
def test_live_runs_are_found_without_reading_the_others(tmp_path, state, order):
    open_sqlite(tmp_path / "store.db").close()
    connection = sqlite3.connect(tmp_path / "store.db")
    sql, values = select_sql(Query("runs", (Where("state", "==", state),), order, 10))
    plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))
    connection.close()
    assert f"runs_{state}" in plan
    assert "TEMP B-TREE" not in plan
