"""The contract on SQLite: in a file and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.store.port import Backend
from headgate.store.sqlite import open_sqlite
from tests.contract.backend_contract import BackendContract


class TestSqliteFile(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        opened = open_sqlite(tmp_path / "store.db")
        yield opened
        opened.close()


class TestSqliteMemory(BackendContract):
    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        opened = open_sqlite(":memory:")
        yield opened
        opened.close()
