"""What every `Store` does, whatever backend it stands on. A subclass brings the fixture `place`: a fresh, empty one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headgate.store.reader import Store
from tests.contract.ambiguity_contract import AmbiguityContract
from tests.contract.control_contract import ControlContract
from tests.contract.dead_letter_contract import DeadLetterContract
from tests.contract.line_race_contract import LineRaceContract
from tests.contract.race_contract import RaceContract
from tests.contract.transact_contract import TransactContract
from tests.contract.waiting_contract import WaitingContract
from tests.support.places import Place, store_over
from tests.support.wrapped import Hooked


class StoreContract(
    TransactContract,
    AmbiguityContract,
    RaceContract,
    LineRaceContract,
    ControlContract,
    DeadLetterContract,
    WaitingContract,
):
    """Subclass it and define the fixtures `place`, `crowd`, `rounds` and `seed`."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def backend(self, place: Place) -> Iterator[Hooked]:
        opened = Hooked(place.open())
        yield opened
        opened.close()

    @pytest.fixture
    def store(self, backend: Hooked) -> Store:
        return store_over(backend)

    @pytest.fixture
    def other(self, place: Place) -> Iterator[Store]:
        """The same store, as another process has it."""
        opened = store_over(place.open())
        yield opened
        opened.close()
