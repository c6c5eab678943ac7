"""The contract of stores on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.races import Crowd
from tests.contract.store_contract import StoreContract
from tests.support.places import Place, SqlitePlace


class TestSqlite(StoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return SqlitePlace(str(tmp_path / "store.db"))

    @pytest.fixture
    def crowd(self) -> Crowd:
        return Crowd(processes=4, threads=50)

    @pytest.fixture
    def rounds(self) -> int:
        return 100

    @pytest.fixture(params=range(8))
    def seed(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)
