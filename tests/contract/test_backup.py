"""Backups of the embedded store's file: whole, of one moment, checked; and the way back."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from headgate.core.tenant import Tenant
from headgate.store.backup import BadBackup, back_up, examine, restore
from headgate.store.documents import Marker
from headgate.store.migrations import SCHEMA_VERSION
from headgate.store.port import Put
from headgate.store.sqlite import open_sqlite
from tests.contract.samples import T, create, key, marker, run, tenant
from tests.contract.test_migrations import EARLIER, old_file


@pytest.fixture
def store(tmp_path):
    """The file of a store with a run in it; its server was killed: the run is still in the WAL."""
    path = tmp_path / "headgate.db"
    opened = open_sqlite(path)
    opened.commit([create(run())], T)
    yield path
    opened.close()


def runs_in(path: Path) -> int:
    return examine(path).documents["runs"]


def test_a_backup_is_one_file_of_its_owner_alone(store, tmp_path):
    target = tmp_path / "copies" / "today"
    target.parent.mkdir()
    contents = back_up(store, target)
    assert (contents.schema, contents.documents["runs"]) == (SCHEMA_VERSION, 1)
    assert contents.bytes == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.iterdir()) == [target]
    assert runs_in(target) == 1


def test_a_backup_is_of_one_moment_while_others_write(store, tmp_path):
    """Two documents that always change together are equal in every copy, and writers are not held up."""
    opened, stop, commits = open_sqlite(store), threading.Event(), 0
    for name in ("a", "b"):
        opened.commit([create(marker(name, extra={"n": 0}), Marker)], T)

    def write() -> None:
        nonlocal commits
        while not stop.is_set():
            commits += 1
            both = [marker(name, extra={"n": commits}) for name in ("a", "b")]
            found = opened.get([key(raw, Marker) for raw in both], T).found
            opened.commit([Put(f.key, raw, f.version) for f, raw in zip(found, both, strict=True)], T)

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    for number in range(10):
        copy = tmp_path / f"copy-{number}"
        back_up(store, copy)
        reading = open_sqlite(copy)
        found = reading.get([key(marker(name), Marker) for name in ("a", "b")], T).found
        numbers = {f.raw["extra"]["n"] for f in found if f.raw}
        reading.close()
        assert len(numbers) == 1
        seen |= numbers
    stop.set()
    writer.join()
    opened.close()
    assert len(seen) > 1, "nothing was written meanwhile"


def test_what_is_there_is_replaced_whole_or_not_at_all(store, tmp_path):
    target = tmp_path / "copy"
    back_up(store, target)
    before = target.read_bytes()
    with pytest.raises(BadBackup):
        back_up(tmp_path / "absent.db", target)
    assert target.read_bytes() == before
    assert not list(tmp_path.glob("copy.*"))


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 6] = b"\xff" * 4096 * 3
    path.write_bytes(data)


def newer(path: Path) -> None:
    with sqlite3.connect(path) as made:
        made.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    made.close()


def other(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE runs (id)")
    made.close()


BAD = {
    "damaged": spoil,
    "newer": newer,
    "another program's": other,
    "no database": lambda path: path.write_text("hello " * 1000),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: 4096 * 5]),
    "absent": Path.unlink,
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_backup_is_not_restored(store, tmp_path, what):
    target, aside = tmp_path / "copy", tmp_path / "aside"
    back_up(store, target)
    BAD[what](target)
    with pytest.raises(BadBackup):
        restore(target, store, aside)
    assert runs_in(store) == 1
    assert not aside.exists()
    assert not list(tmp_path.glob("*.restoring*"))


def test_the_way_back_keeps_what_it_replaces(tmp_path):
    path, copy, aside = tmp_path / "headgate.db", tmp_path / "copy", tmp_path / "aside"
    opened = open_sqlite(path)
    opened.commit([create(run())], T)
    back_up(path, copy)
    opened.commit([create(run("run_2"))], T)
    # As after kill -9: the file with a WAL beside it, and nobody who has it open.
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"killed.db{suffix}").write_bytes((tmp_path / f"headgate.db{suffix}").read_bytes())
    opened.close()
    restore(copy, tmp_path / "killed.db", aside)
    assert runs_in(tmp_path / "killed.db") == 1
    assert runs_in(aside) == 2
    assert not (tmp_path / "killed.db-wal").exists()
    reopened = open_sqlite(tmp_path / "killed.db")
    reopened.commit([create(tenant(), Tenant)], T)
    reopened.close()


@pytest.mark.parametrize("number", EARLIER)
def test_a_backup_of_an_earlier_version_is_restored(tmp_path, number):
    old, database = tmp_path / "old.db", tmp_path / "headgate.db"
    old_file(old, number)
    assert restore(old, database, tmp_path / "aside").schema == number
    opened = open_sqlite(database)
    assert opened.get([key(run())], T).found[0].raw == run()
    opened.close()
    assert examine(database).schema == SCHEMA_VERSION


def test_a_damaged_store_is_replaced_too(store, tmp_path):
    target, aside, damaged = tmp_path / "copy", tmp_path / "aside", tmp_path / "damaged.db"
    back_up(store, target)
    damaged.write_text("hello " * 1000)
    restore(target, damaged, aside)
    assert runs_in(damaged) == 1
    assert aside.read_text().startswith("hello")


def test_a_log_that_somebody_still_reads_is_not_played_into_the_restored_store(tmp_path, monkeypatch):
    """It cannot be folded into the file that it belongs to; beside the new one SQLite would take it for that one's."""
    path, copy, aside = tmp_path / "headgate.db", tmp_path / "copy", tmp_path / "aside"
    opened = open_sqlite(path)
    opened.commit([create(run())], T)
    back_up(path, copy)
    opened.commit([create(run("run_2"))], T)
    for suffix in ("", "-wal"):  # as after kill -9
        (tmp_path / f"killed.db{suffix}").write_bytes((tmp_path / f"headgate.db{suffix}").read_bytes())
    opened.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "killed.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT COUNT(*) FROM runs").fetchone() == (2,)
        with monkeypatch.context() as impatient:
            impatient.setattr(sqlite3, "connect", functools.partial(at_once, sqlite3.connect))
            restore(copy, tmp_path / "killed.db", aside)
        assert not (tmp_path / "killed.db-wal").exists()
        assert not (tmp_path / "killed.db-shm").exists()
        assert (tmp_path / "aside-wal").stat().st_size > 0
        reopened = open_sqlite(tmp_path / "killed.db")
        found = reopened.get([key(run()), key(run("run_2"))], T).found
        assert [one.raw is not None for one in found] == [True, False]
        reopened.close()


def at_once(connect, *args, **named):
    """A connection that does not wait for who holds it up."""
    return connect(*args, **{**named, "timeout": 0})


def test_where_there_was_none(store, tmp_path):
    target = tmp_path / "copy"
    back_up(store, target)
    restore(target, tmp_path / "new.db", tmp_path / "aside")
    assert runs_in(tmp_path / "new.db") == 1
    assert not (tmp_path / "aside").exists()
