"""The races of StoreContract on doors that are wrong: they must fail there; a part of StoreContract."""

from __future__ import annotations

import contextlib

import pytest

from headgate.core.policy import OnLimit, Policy
from tests.contract.races import Crowd, Door, admit_exactly_the_cap, headgate_door, race, words
from tests.support.crew import Crew
from tests.support.naive import CountThenCreate, unverified_door
from tests.support.places import Place

ROUNDS = 3


class ControlContract:
    """Subclass it and define the fixtures `place` and `crowd`."""

    @pytest.mark.parametrize("cap", [1, 5, 20])
    def test_counting_first_and_creating_then_admits_too_many(self, place: Place, crew: Crew, crowd: Crowd, cap: int):
        crowd = Crowd(crowd.processes, 25)
        with contextlib.closing(headgate_door(place, Policy())) as live:
            live.prepare(acme={1: "free", 5: "pro", 20: "enterprise"}[cap])
        outcomes = race(crew, place, CountThenCreate, crowd, [{"tenant": "acme", "on_limit": OnLimit.REJECT}])
        assert words(outcomes)["admitted"] > cap

    @pytest.mark.parametrize("door", [CountThenCreate, unverified_door])
    def test_the_race_fails_on_what_is_wrong(self, place: Place, crew: Crew, crowd: Crowd, door: Door):
        crowd = Crowd(crowd.processes, 25)
        tenants = [f"t{i}" for i in range(ROUNDS)]
        with contextlib.closing(headgate_door(place, Policy())) as live:
            live.prepare(**dict.fromkeys(tenants, "pro"))
        for tenant in tenants:
            with pytest.raises(AssertionError, match="'admitted': "):
                admit_exactly_the_cap(crew, place, door, crowd, 5, tenant)
