"""After a pause has answered nothing of its subject starts: raced against promotion, claims, submissions and ends on real
threads of two processes. The same race catches a pause that answers too early, and a promotion that does not look."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import pytest

from headgate.core import tenant as tenants
from headgate.core.policy import OnLimit, Policy, PressurePolicy
from headgate.core.run import IN_FLIGHT, LIVE, Run
from headgate.core.tenant import Tenant
from headgate.delivery.port import Message
from headgate.flow import fleet, pause, sweep, work
from headgate.flow.cancel import cancel_run
from headgate.flow.pause import Pause
from headgate.flow.standing import set_status
from headgate.handlers.interface import Done
from headgate.store.documents import where
from headgate.store.port import Backend
from headgate.store.sqlite import SqliteBackend
from tests.support.live import Live
from tests.support.places import FirestorePlace, store_over
from tests.support.threads import all_well, together

POLICY = Policy(pressure=PressurePolicy(ramp_seconds=0))
"""Without a ramp: each race begins at once with what the one before has put back."""
PATIENCE = 30.0

Switch = tuple[Callable[[Live], object], Callable[[Live], object]]
"""Shut and open."""


def of_scope(scope: str, mode: str = "reject") -> Switch:
    return (
        lambda live: pause.pause(live.deps, live.dispatcher, "acme", Pause(scope=scope, mode=mode), live.why()),
        lambda live: pause.resume(live.deps, live.dispatcher, "acme", scope, live.why()),
    )


def of_kind(mode: str) -> Switch:
    return (
        lambda live: fleet.close_kind(live.deps, live.dispatcher, "command", mode, live.why()),
        lambda live: fleet.open_kind(live.deps, live.dispatcher, "command", live.why()),
    )


MAINTENANCE: Switch = (
    lambda live: fleet.set_mode(live.deps, live.dispatcher, "maintenance", live.why()),
    lambda live: fleet.set_mode(live.deps, live.dispatcher, "normal", live.why()),
)
SUSPENDED: Switch = (
    lambda live: set_status(live.deps, live.dispatcher, "acme", "suspended", live.why()),
    lambda live: set_status(live.deps, live.dispatcher, "acme", "active", live.why()),
)
SWITCHES: Sequence[Switch] = (
    of_scope("tenant"),
    of_scope("repo:o/r", "hold"),
    of_kind("reject"),
    MAINTENANCE,
    SUSPENDED,
    of_scope("tenant", "drain"),
    of_scope("user:ada"),
    of_kind("drain_cancel"),
)


class Race:
    """Two processes on one store: the one that pauses, and the one that works."""

    def __init__(self, open_backend: Callable[[], Backend]) -> None:
        self.one, self.two = (Live(store_over(open_backend()), POLICY) for _ in range(2))
        self.one.prepare(acme="enterprise")

    def run(self, switch: Switch, rng: Random) -> list[str]:
        """One race: what started after the answer. At first one run is at work, two are pending, two in line."""
        for live in (self.one, self.two, self.two, self.one):
            live.submit("acme", repo="o/r", user="ada", on_limit=OnLimit.QUEUE)
        messages = self._messages()
        working = self._claim(messages[0])
        assert working is not None
        self.answered = float("inf")
        self.late: list[str] = []
        delays = [rng.random() * 0.004 for _ in range(4)]
        acts: list[Callable[[], object]] = [
            partial(self._shut, switch, delays[0]),
            partial(self._work, messages, delays[1]),
            partial(self._finish, working, delays[2]),
            partial(self._submit, delays[3]),
            partial(self.one.dispatcher.dispatch),
        ]
        all_well(together(acts, PATIENCE))
        self._afterwards(messages)
        switch[1](self.one)
        self._clear()
        return self.late

    def close(self) -> None:
        """The books of the whole store balance."""
        sweep.sweep(self.one.deps, self.one.dispatcher)
        self.one.assert_books_balance()
        self.one.close()

    def _shut(self, switch: Switch, delay: float) -> None:
        time.sleep(delay)
        switch[0](self.one)
        self.answered = time.monotonic()

    def _work(self, messages: list[Message], delay: float) -> None:
        """Claims whatever comes until a moment after the answer."""
        time.sleep(delay)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < min(self.answered + 0.003, until):
            messages += self._messages()
            for message in messages:
                self._try(message)

    def _try(self, message: Message) -> None:
        began = time.monotonic()
        if self._claim(message) is not None and began > self.answered:
            self.late.append(f"{message.run_id} was claimed after the answer")

    def _finish(self, run: Run, delay: float) -> None:
        time.sleep(delay)
        work.finish(self.two.deps, self.two.dispatcher, run, work.Ending(outcome=Done({})))

    def _submit(self, delay: float) -> None:
        time.sleep(delay)
        self.two.submit("acme", repo="o/r", user="ada", on_limit=OnLimit.QUEUE)

    def _afterwards(self, messages: list[Message]) -> None:
        """Nothing is pending, and nothing becomes it, whatever is still kicked."""
        for _ in range(2):
            pending = self.one.deps.store.query(Run, where(Run, ("state", "==", "pending")))
            self.late += [f"{run.id} is pending after the answer" for run in pending]
            self.two.dispatcher.dispatch()
        for message in [*messages, *self._messages()]:
            self._try(message)

    def _clear(self) -> None:
        for run in self.one.deps.store.query(Run, where(Run, ("state", "in", sorted(LIVE)))):
            cancel_run(self.one.deps, "acme", run.id)
        self._messages()
        assert not self.one.deps.store.count(where(Run, ("state", "in", sorted(IN_FLIGHT))))

    def _messages(self) -> list[Message]:
        found: list[Message] = []
        for live in (self.one, self.two):
            try:
                while True:
                    found.append(live.delivery.messages.get_nowait())
            except queue.Empty:
                continue
        return found

    def _claim(self, message: Message) -> Run | None:
        return work.claim(self.two.deps, message.run_id, message.fence, "worker")


def late_starts(race: Race, races: int, seed: int, switches: Sequence[Switch] = SWITCHES) -> int:
    """Races in which something started after the answer."""
    rng = Random(seed)
    return sum(bool(race.run(switches[n % len(switches)], rng)) for n in range(races))


@pytest.fixture
def race() -> Race:
    backend = SqliteBackend(":memory:", "off", None)
    return Race(lambda: backend)


def test_nothing_starts_after_a_pause_has_answered_in_500_races(race: Race) -> None:
    assert late_starts(race, 500, seed=7) == 0
    race.close()


@pytest.mark.emulators
def test_nothing_starts_after_a_pause_has_answered_on_firestore(firestore_emulator: str, project_id: str) -> None:
    race = Race(FirestorePlace(project_id, firestore_emulator).open)
    assert late_starts(race, 50, seed=8) == 0
    race.close()


def test_control_a_pause_that_answers_before_it_revokes(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause, "finish_pause", lambda *facts: None)
    assert late_starts(race, 5, 7, SWITCHES[:1])


def test_control_a_promotion_that_does_not_look(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    def offering(of: Tenant) -> tuple[str, ...]:
        return tuple(sorted(of.ready)) if len(of.holders) < of.cap else ()

    monkeypatch.setattr(tenants, "offering", offering)
    assert late_starts(race, 5, 7, SWITCHES[:1])


def test_control_a_kind_that_only_seems_closed(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "stamp", lambda *facts: None)
    assert late_starts(race, 5, 7, SWITCHES[2:3])
