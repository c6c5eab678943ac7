"""The contract of stores on Firestore's emulator."""

from __future__ import annotations

import pytest

from tests.contract.races import Crowd
from tests.contract.store_contract import StoreContract
from tests.support.places import FirestorePlace, Place

pytestmark = pytest.mark.emulators


class TestFirestore(StoreContract):
    @pytest.fixture
    def place(self, firestore_emulator: str, project_id: str) -> Place:
        return FirestorePlace(project_id, firestore_emulator)

    @pytest.fixture
    def crowd(self) -> Crowd:
        return Crowd(processes=2, threads=100)

    @pytest.fixture
    def rounds(self) -> int:
        return 20

    @pytest.fixture(params=range(2))
    def seed(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)
