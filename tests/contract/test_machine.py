"""The same machine on both stores, and the mutants that it must catch."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from headgate.store.port import Backend
from headgate.store.sqlite import SqliteBackend
from tests.contract.machine import Machine
from tests.contract.mutants import MUTANTS
from tests.support.places import FirestorePlace


class OnSqlite(Machine):
    """In memory."""

    def open_backend(self) -> Backend:
        return SqliteBackend(":memory:", "off", None)


def budget(examples: int, steps: int, shrink: bool = True) -> settings:
    """The same examples in every run: a failure is the code's, never the day's."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
    )


@pytest.mark.timeout(420)  # to shrink what it finds; without a find it takes 20 seconds
def test_no_order_of_events_breaks_a_promise_on_sqlite() -> None:
    run_state_machine_as_test(OnSqlite, settings=budget(60, 40))


@pytest.mark.emulators
def test_no_order_of_events_breaks_a_promise_on_firestore(firestore_emulator: str) -> None:
    class OnFirestore(Machine):
        def open_backend(self) -> Backend:
            return FirestorePlace(f"machine-{uuid.uuid4().hex[:12]}", firestore_emulator).open()

    run_state_machine_as_test(OnFirestore, settings=budget(5, 25, shrink=False))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_machine_catches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(OnSqlite, settings=budget(300, 40, shrink=False))
