"""Commits whose reply is lost: nothing happens twice, nothing is forgotten; a part of StoreContract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from headgate.core.policy import OnLimit
from headgate.core.run import LIVE, Run
from headgate.flow import fleet, pause
from headgate.flow.submit import Accepted, Refused
from headgate.store.documents import AuditRecord, IdempotencyRecord, Marker, ReceiptRecord, UserLine, where
from headgate.store.reader import Store
from headgate.store.transaction import Tx
from tests.support.faulty import FATES, Faulty
from tests.support.live import Live
from tests.support.places import Place, store_over
from tests.support.threads import all_well, together


def one_more(tx: Tx) -> int:
    """Run twice over its own effect, it counts twice."""
    now = tx.get(UserLine, "user_a") or UserLine(id="user_a", tenant="acme", user="a")
    tx.put(UserLine(id="user_a", tenant="acme", user="a", waiting=now.waiting + 1))
    return now.waiting + 1


class AmbiguityContract:
    """Subclass it and define the fixtures `place` and `seed`."""

    @pytest.fixture
    def seed(self) -> int:
        raise NotImplementedError

    @pytest.fixture
    def faulty(self, place: Place, seed: int) -> Iterator[Faulty]:
        opened = Faulty(place.open(), seed)
        yield opened
        opened.close()

    @pytest.fixture
    def live(self, faulty: Faulty) -> Live:
        made = Live(store_over(faulty))
        made.prepare(acme="pro", globex="enterprise")
        return made

    @pytest.mark.parametrize("fate", FATES)
    def test_one_caller_counts_exactly(self, place: Place, fate: str):
        faulty = Faulty(place.open(), seed=1, rate=0.6, fates=(fate,))
        store = store_over(faulty)
        answers = [store.transact(one_more, "acme") for _ in range(25)]
        faulty.heal()
        assert answers == list(range(1, 26)), faulty.met
        found = store.get(UserLine, "user_a")
        assert found is not None
        assert found.waiting == 25
        faulty.close()

    def test_many_callers_in_two_processes_count_exactly(self, place: Place, faulty: Faulty):
        second = Faulty(place.open(), seed=99)
        stores = [store_over(faulty), store_over(second)]
        answers = all_well(together([partial(count_to, stores[i % 2], 5) for i in range(12)]))
        faulty.heal()
        second.heal()
        assert sorted(number for some in answers for number in some) == list(range(1, 61)), faulty.met
        found = stores[0].get(UserLine, "user_a")
        assert found is not None
        assert found.waiting == 60
        second.close()

    def test_a_create_is_answered_once_and_stands(self, faulty: Faulty):
        store = store_over(faulty)
        for i in range(20):
            store.transact(partial(Tx.create, document=Marker(id=f"m{i}", value="")), f"m{i}")
        faulty.heal()
        assert len(store.query(Marker, where(Marker))) == 20

    def test_every_submission_is_one_run_or_none(self, live: Live, faulty: Faulty):
        """Cap 5, ten waiting or refused: as many runs, keys and receipts as were answered, and each ends once."""
        reject = [partial(live.submit, "acme", key=f"r{i}") for i in range(10)]
        wait = [partial(live.submit, "acme", key=f"q{i}", on_limit=OnLimit.QUEUE, repo="o/n") for i in range(10)]
        answers = all_well(together([*reject, *wait]))
        accepted = {answer.run.id for answer in answers if isinstance(answer, Accepted)}
        refused = {answer.receipt_id for answer in answers if isinstance(answer, Refused)}
        assert {run.id for run in live.deps.store.query(Run, where(Run))} == accepted
        assert len(live.deps.store.query(IdempotencyRecord, where(IdempotencyRecord))) == len(accepted)
        assert {one.id for one in live.deps.store.query(ReceiptRecord, where(ReceiptRecord))} == refused
        assert live.tenant("acme").month_runs == len(accepted)
        self._finish_all(live, faulty, len(accepted))

    def test_what_ends_ends_once_and_starts_the_next(self, live: Live, faulty: Faulty):
        for i in range(16):
            live.submit("globex", repo=f"o/n{i % 3}", user=f"u{i % 4}", on_limit=OnLimit.QUEUE)
        self._finish_all(live, faulty, 16)

    def _finish_all(self, live: Live, faulty: Faulty, count: int) -> None:
        """No sweep: every run must have been published, or have been promoted by the end of another."""
        finished = live.execute_all()
        faulty.heal()
        live.assert_books_balance()
        runs = live.deps.store.query(Run, where(Run))
        assert Counter(run.state for run in runs) == {"completed": count}, faulty.met
        assert finished == count
        ends = [sum(event.type == "run.finished" for event in run.events) for run in runs]
        assert ends == [1] * count
        print(f"\n{count} runs through lost replies {faulty.met}")

    def test_operators_changes_happen_once(self, live: Live, faulty: Faulty):
        deps, dispatcher = live.deps, live.dispatcher
        for _ in range(3):
            live.submit("acme", on_limit=OnLimit.QUEUE)
        for cap in (3, 9, 50):
            fleet.set_cap(deps, dispatcher, "system", cap, live.why())
        pause.pause(deps, dispatcher, "acme", pause.Pause(mode="hold"), live.why())
        assert {run.state for run in live.picture().live()} == {"queued"}
        pause.resume(deps, dispatcher, "acme", "tenant", live.why())
        fleet.close_kind(deps, dispatcher, "git", "hold", live.why())
        fleet.open_kind(deps, dispatcher, "git", live.why())
        fleet.set_mode(deps, dispatcher, "maintenance", live.why())
        fleet.set_mode(deps, dispatcher, "normal", live.why())
        actions = Counter(record.action for record in deps.store.query(AuditRecord, where(AuditRecord)))
        expected = {"limit.set": 3, "pause": 1, "resume": 1, "kind.paused": 1, "kind.resumed": 1, "mode.set": 2}
        assert actions == expected, faulty.met
        assert live.picture().eligible() == []
        self._finish_all(live, faulty, 3)
        assert [run for run in live.picture().runs.values() if run.state in LIVE] == []


def count_to(store: Store, times: int) -> list[int]:
    return [store.transact(one_more, "acme") for _ in range(times)]
