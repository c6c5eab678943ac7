"""Where only a second look shows what the store promises: time, withdrawn commits, pages, and what was adopted."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.store import reader
from headgate.store.documents import Marker, UserLine, where
from headgate.store.port import Ambiguous, Key, Outage, Put
from headgate.store.reader import Store
from headgate.store.sqlite import SqliteBackend, open_sqlite
from headgate.store.transaction import Tx
from tests.support.places import SqlitePlace, store_over

PATIENT, SHORT = 10.0, 0.2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = store_over(SqlitePlace(str(tmp_path / "store.db")).open())
    yield opened
    opened.close()


def test_time_stands_still_while_the_machines_clock_goes_back() -> None:
    now = [1_000]
    backend = open_sqlite(":memory:", clock=lambda: now[0])
    seen = []
    for now[0] in (1_000, 400, 999, 1_001):
        seen.append(backend.get([], PATIENT).now)
    assert seen == [1_000, 1_000, 1_000, 1_001]
    backend.close()


def test_a_commit_that_was_withdrawn_is_never_written(tmp_path: Path) -> None:
    """The writer waits for another process with a first commit, which it has begun; a second waits behind that one."""
    backend = open_sqlite(tmp_path / "store.db")
    with open(tmp_path / "store.db.lock", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Ambiguous):
            _commit(backend, "begun", SHORT)
        with pytest.raises(Outage, match="nothing was written"):
            _commit(backend, "withdrawn", SHORT)
    _commit(backend, "later", PATIENT)
    found = backend.get([Key("markers", name) for name in ("begun", "withdrawn", "later")], PATIENT).found
    assert [document.raw is not None for document in found] == [True, False, True]
    backend.close()


def test_no_two_processes_hold_the_file_lock_at_once(tmp_path: Path) -> None:
    """A lock that is shared would let both write, and SQLite's own waiting starves one of them."""
    backend = open_sqlite(tmp_path / "store.db")
    with open(tmp_path / "store.db.lock", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(Ambiguous):
            _commit(backend, "begun", SHORT)
    _commit(backend, "later", PATIENT)
    backend.close()


@pytest.mark.parametrize(("asked", "level"), [(None, 2), ("full", 2), ("normal", 1)])
def test_an_answered_commit_was_synced_as_asked(tmp_path: Path, asked: str | None, level: int) -> None:
    path = tmp_path / "store.db"
    backend = open_sqlite(path) if asked is None else open_sqlite(path, sync=asked)
    assert backend._writer.execute("PRAGMA synchronous").fetchone() == (level,)
    assert backend._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    backend.close()


def _commit(backend: SqliteBackend, name: str, timeout: float) -> None:
    backend.commit([Put(Key("markers", name), {"id": name, "value": ""}, None)], timeout)


def test_every_document_is_read_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PAGE", 2)
    names = [f"m{number}" for number in range(5)]

    def make(tx: Tx) -> None:
        for name in names:
            tx.create(Marker(id=name, value=""))

    store.transact(make, "markers")
    assert [marker.id for marker in store.every(Marker)] == names


def test_what_was_adopted_is_verified_though_another_is_written(store: Store) -> None:
    line = UserLine(id="user_a", tenant="acme", user="a")
    store.transact(lambda tx: tx.create(line), "acme")
    [hint] = store.hints(UserLine, where(UserLine, ("tenant", "==", "acme")))

    def change(tx: Tx) -> None:
        before = tx.get(UserLine, line.id)
        assert before is not None
        tx.put(replace(before, waiting=1))

    store.transact(change, "acme")

    def body(tx: Tx) -> int:
        adopted = tx.adopt(UserLine, hint)
        assert adopted is not None
        if tx.peek(Marker, f"seen-{adopted.waiting}") is None:
            tx.create(Marker(id=f"seen-{adopted.waiting}", value=""))
        return adopted.waiting

    assert store.transact(body, "acme") == 1
