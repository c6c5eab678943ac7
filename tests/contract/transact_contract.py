"""What a transaction of any store means: verified reads, hints, folding, refusals, deadlines; a part of StoreContract."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from headgate.core.errors import Code, Unavailable
from headgate.store.committer import MAX_BYTES, Budget
from headgate.store.documents import IdempotencyRecord, Marker, UserLine, where
from headgate.store.port import Conflict, Write
from headgate.store.reader import Store
from headgate.store.transaction import Torn, Tx
from tests.support.places import Place, store_over
from tests.support.threads import all_well, together
from tests.support.wrapped import Hooked, Mortal

KEY = "acme"
LINES = where(UserLine, ("tenant", "==", KEY))


def line(id: str = "user_a", waiting: int = 0, tenant: str = KEY) -> UserLine:
    return UserLine(id=id, tenant=tenant, user="a", waiting=waiting)


def add(tx: Tx, step: int = 1, id: str = "user_a") -> int:
    """A body that loses updates unless what it reads is verified."""
    now = tx.get(UserLine, id) or line(id)
    tx.put(line(id, now.waiting + step))
    return now.waiting + step


def add_to_found(tx: Tx) -> int:
    """The same, found by a query."""
    [now] = tx.hint(UserLine, LINES)
    tx.put(line(waiting=now.waiting + 1))
    return now.waiting + 1


def take_one(tx: Tx) -> int:
    """The last but so many; raises when there is none left: a refusal."""
    now = tx.get(UserLine, "user_a") or line()
    if now.waiting <= 0:
        raise NoneLeft
    tx.put(line(waiting=now.waiting - 1))
    return now.waiting - 1


class NoneLeft(Exception):
    """A refusal."""


def waiting(store: Store, id: str = "user_a") -> int:
    found = store.get(UserLine, id)
    assert found is not None
    return found.waiting


def in_a_moment(act: Callable[[], int]) -> int:
    """The answer once the store is noticed to be back, within three seconds."""
    until = time.monotonic() + 3.0
    while True:
        try:
            return act()
        except Unavailable:
            assert time.monotonic() < until
            time.sleep(0.05)


class Meanwhile:
    """Somebody else's write, in the middle of a body's first run."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.runs == 1:
            self._act()


class Held:
    """Holds the first commit until everybody else has called, so that they all are folded into the second."""

    def __init__(self, backend: Hooked) -> None:
        self._backend = backend
        self._first, self._go = threading.Event(), threading.Event()
        backend.before_commit = self._hold

    def _hold(self, writes: Sequence[Write]) -> None:
        if not self._first.is_set():
            self._first.set()
            assert self._go.wait(30)

    def folded(self, store: Store, bodies: Sequence[Callable[[Tx], Any]], weight: int = 0) -> list[Any]:
        """The answers of bodies that wait behind a commit under way, in this order."""
        answers: dict[int, Any] = {}

        def call(index: int, body: Callable[[Tx], Any]) -> None:
            try:
                answers[index] = store.transact(body, KEY, weight=weight)
            except Exception as error:
                answers[index] = error

        lead = threading.Thread(target=call, args=(-1, lambda tx: tx.create(Marker(id="lead", value=""))), daemon=True)
        lead.start()
        assert self._first.wait(30)
        threads = [threading.Thread(target=call, args=(i, body), daemon=True) for i, body in enumerate(bodies)]
        for thread in threads:
            thread.start()
            time.sleep(0.03)  # in this order
        self._backend.commits = 0
        self._go.set()
        for thread in (lead, *threads):
            thread.join(30)
        self._backend.commits -= 1  # the leader's own
        return [answers[index] for index in range(len(bodies))]


class TransactContract:
    """Subclass it and define the fixture `place`."""

    # --- what is verified

    def test_what_a_body_returns_comes_back_and_its_writes_stand(self, store: Store, other: Store):
        assert store.transact(add, KEY) == 1
        assert waiting(other) == 1

    def test_a_document_that_changed_is_read_and_decided_again(self, store: Store, other: Store):
        meanwhile = Meanwhile(lambda: other.transact(partial(add, step=10), KEY))

        def body(tx: Tx) -> int:
            now = tx.get(UserLine, "user_a") or line()
            meanwhile()
            tx.put(line(waiting=now.waiting + 1))
            return now.waiting + 1

        assert store.transact(body, KEY) == 11
        assert (meanwhile.runs, waiting(store)) == (2, 11)

    def test_what_was_only_read_is_verified_too(self, store: Store, other: Store):
        meanwhile = Meanwhile(lambda: other.transact(add, KEY))

        def body(tx: Tx) -> int:
            seen = tx.get(UserLine, "user_a")
            meanwhile()
            tx.create(Marker(id="m", value=""))
            return 0 if seen is None else seen.waiting

        assert store.transact(body, KEY) == 1
        assert meanwhile.runs == 2

    def test_an_absence_is_verified(self, store: Store, other: Store):
        meanwhile = Meanwhile(lambda: other.transact(lambda tx: tx.create(Marker(id="pause", value="")), KEY))

        def body(tx: Tx) -> bool:
            absent = tx.get(Marker, "pause") is None
            meanwhile()
            tx.create(Marker(id="m", value=""))
            return absent

        assert store.transact(body, KEY) is False

    def test_peeks_and_hints_are_not_verified(self, store: Store, other: Store):
        store.transact(add, KEY)
        meanwhile = Meanwhile(lambda: other.transact(add, KEY))

        def body(tx: Tx) -> list[int]:
            peeked, hinted = tx.peek(UserLine, "user_a"), tx.hint(UserLine, LINES)
            meanwhile()
            tx.create(Marker(id="m", value=""))
            return [one.waiting for one in (peeked, *hinted) if one is not None]

        assert store.transact(body, KEY) == [1, 1]
        assert meanwhile.runs == 1

    def test_what_was_found_and_then_put_is_verified(self, store: Store, other: Store):
        store.transact(add, KEY)
        meanwhile = Meanwhile(lambda: other.transact(add, KEY))

        def body(tx: Tx) -> None:
            [found] = tx.hint(UserLine, LINES)
            meanwhile()
            tx.put(line(waiting=found.waiting + 1))

        store.transact(body, KEY)
        assert (meanwhile.runs, waiting(store)) == (2, 3)

    def test_what_was_found_outside_is_verified_once_adopted(self, store: Store, other: Store):
        store.transact(add, KEY)
        [hint] = store.hints(UserLine, LINES)
        other.transact(add, KEY)

        def body(tx: Tx) -> int:
            adopted = tx.adopt(UserLine, hint)
            assert adopted is not None
            tx.put(line(waiting=adopted.waiting + 1))
            return tx.attempt

        assert store.transact(body, KEY) > 0
        assert waiting(store) == 3

    def test_what_one_body_found_before_is_not_what_those_folded_with_it_see(
        self, backend: Hooked, store: Store, other: Store
    ):
        store.transact(add, KEY)
        [stale] = store.hints(UserLine, LINES)
        other.transact(add, KEY)

        def adopt(tx: Tx) -> int:
            adopted = tx.adopt(UserLine, stale)
            assert adopted is not None
            return adopted.waiting

        def look(tx: Tx) -> int:
            found = tx.get(UserLine, "user_a")
            assert found is not None
            return found.waiting

        assert Held(backend).folded(store, [adopt, look]) == [2, 2], "nothing is written, so nothing else checks it"

    @pytest.mark.parametrize("second", [add, add_to_found])
    def test_what_a_body_masks_is_not_put_back_by_one_folded_with_it(
        self, backend: Hooked, store: Store, second: Callable[[Tx], int]
    ):
        """As a cap that is cut and, by another caller in the same commit, dealt anew: the later of the two must win."""
        store.transact(add, KEY)

        def mask(tx: Tx) -> None:
            tx.mask(UserLine, "user_a", {"waiting": 40})

        assert Held(backend).folded(store, [mask, second]) == [None, 41]
        assert waiting(store) == 41

    def test_a_glimpse_is_of_now_and_no_part_of_the_view(self, store: Store, other: Store):
        store.transact(add, KEY)
        meanwhile = Meanwhile(lambda: other.transact(add, KEY))

        def body(tx: Tx) -> tuple[int, int]:
            before = tx.peek(UserLine, "user_a")
            meanwhile()
            [glimpsed] = tx.glimpse(UserLine, LINES)
            after = tx.peek(UserLine, "user_a")
            assert before == after is not None
            return after.waiting, glimpsed.waiting

        assert store.transact(body, KEY) == (1, 2)

    def test_a_mask_is_never_refused(self, store: Store, other: Store):
        store.transact(add, KEY)
        meanwhile = Meanwhile(lambda: other.transact(add, KEY))

        def body(tx: Tx) -> None:
            meanwhile()
            tx.mask(UserLine, "user_a", {"waiting": 40})

        store.transact(body, KEY)
        assert (meanwhile.runs, waiting(store)) == (1, 40)

    def test_a_put_of_what_was_not_read_is_a_bug_of_its_own_body(self, store: Store):
        with pytest.raises(LookupError):
            store.transact(lambda tx: tx.put(line()), KEY)

    def test_a_torn_view_is_read_again(self, store: Store):
        runs = []

        def body(tx: Tx) -> int:
            runs.append(tx.attempt)
            if len(runs) < 3:
                raise Torn("documents of different moments")
            return add(tx)

        assert store.transact(body, KEY) == 1
        assert len(runs) == 3

    # --- folding

    def test_callers_of_one_key_share_commits(self, backend: Hooked, store: Store):
        bodies: list[Callable[[], int]] = [partial(store.transact, add, KEY)] * 64
        assert sorted(all_well(together(bodies))) == list(range(1, 65))
        print(f"\n64 concurrent callers of one key: {backend.commits} commits")
        assert backend.commits <= 16

    def test_a_body_sees_the_writes_of_those_before_it(self, backend: Hooked, store: Store):
        assert Held(backend).folded(store, [add] * 20) == list(range(1, 21))
        assert backend.commits == 1

    def test_a_query_sees_the_writes_of_those_before_it(self, backend: Hooked, store: Store):
        for i in range(4):
            store.transact(partial(add, step=i, id=f"user_{i}"), KEY)

        def join(tx: Tx) -> None:
            tx.create(line("user_9"))

        def move_away(tx: Tx) -> None:
            assert tx.get(UserLine, "user_0") is not None
            tx.put(line("user_0", tenant="elsewhere"))

        def remove(tx: Tx) -> None:
            assert tx.get(UserLine, "user_1") is not None
            tx.delete(UserLine, "user_1")

        def first_two(tx: Tx) -> list[str]:
            return [one.id for one in tx.hint(UserLine, where(UserLine, ("tenant", "==", KEY), limit=2))]

        def everybody(tx: Tx) -> list[str]:
            return [one.id for one in tx.hint(UserLine, LINES)]

        bodies = [first_two, join, move_away, remove, first_two, everybody]
        found = Held(backend).folded(store, bodies)
        assert backend.commits == 1
        assert found[0] == ["user_0", "user_1"]
        assert found[4:] == [["user_2", "user_3"], ["user_2", "user_3", "user_9"]]

    def test_a_body_that_raises_takes_only_its_own_writes_with_it(self, backend: Hooked, store: Store):
        def spoil(tx: Tx) -> None:
            add(tx, 100)
            tx.create(Marker(id="spoilt", value=""))
            tx.mask(Marker, "absent", {"value": "x"})
            raise NoneLeft

        answers = Held(backend).folded(store, [add, spoil, add])
        assert (answers[0], type(answers[1]), answers[2]) == (1, NoneLeft, 2)
        assert backend.commits == 1
        assert (waiting(store), store.get(Marker, "spoilt")) == (2, None)

    def test_a_refusal_over_writes_of_others_is_answered_only_with_them(
        self, backend: Hooked, store: Store, other: Store
    ):
        """The first takes the last one, so the second is refused; but that commit fails, for there is another one now."""
        store.transact(add, KEY)
        held = Held(backend)
        hold, more = backend.before_commit, Meanwhile(lambda: other.transact(add, KEY))

        def interfere(writes: Sequence[Write]) -> None:
            hold(writes)
            if any(write.key.id == "user_a" for write in writes):
                more()

        backend.before_commit = interfere
        assert held.folded(store, [take_one, take_one]) in ([1, 0], [0, 1])
        assert waiting(store) == 0

    def test_a_refusal_with_nothing_to_write_is_answered(self, store: Store):
        with pytest.raises(NoneLeft):
            store.transact(take_one, KEY)

    def test_a_batch_is_bounded_by_what_it_writes(self, backend: Hooked, store: Store):
        Held(backend).folded(store, [add] * 4, weight=MAX_BYTES // 2)
        assert backend.commits == 2

    def test_one_contended_body_does_not_hold_up_the_rest(self, backend: Hooked):
        """What one body relies on changes all the time; whoever was folded with it is done long before it."""

        def contended(writes: Sequence[Write]) -> None:
            hold(writes)
            if any(write.key.id == "busy" for write in writes):
                raise Conflict("somebody else was first")

        held, store = Held(backend), store_over(backend, Budget(contention=3.0))
        hold, backend.before_commit = backend.before_commit, contended
        began = time.monotonic()
        busy: Callable[[Tx], Any] = lambda tx: tx.create(Marker(id="busy", value=""))  # noqa: E731 - one of a list
        answers = held.folded(store, [*[add] * 7, busy, *[add] * 8])
        assert [type(answer) for answer in answers].count(int) == 15
        assert answers[7].code is Code.STORE_CONTENTION
        assert waiting(store) == 15
        assert time.monotonic() - began < 10

    def test_callers_of_another_key_do_not_wait(self, backend: Hooked, store: Store):
        stuck, go = threading.Event(), threading.Event()

        def hold(writes: Sequence[Write]) -> None:
            if any(write.key.id == "slow" for write in writes):
                stuck.set()
                assert go.wait(30)

        backend.before_commit = hold
        create: Callable[[Tx], object] = lambda tx: tx.create(Marker(id="slow", value=""))  # noqa: E731 - bound below
        slow = threading.Thread(target=store.transact, args=(create, "slow"), daemon=True)
        slow.start()
        assert stuck.wait(30)
        assert store.transact(add, KEY) == 1
        assert slow.is_alive()
        go.set()
        slow.join(30)

    def test_what_cannot_be_stored_fails_alone_and_the_store_goes_on(self, store: Store):
        endless = IdempotencyRecord(
            id="idem_x", tenant=KEY, body_hash="", run_id="", receipt_id="", status=201, expire_at=2**70
        )
        with pytest.raises((ValueError, OverflowError)):
            store.transact(lambda tx: tx.create(endless), KEY)
        assert store.transact(add, KEY) == 1

    # --- how long a caller waits

    def test_a_spent_budget_is_contention_and_never_a_limit(self, backend: Hooked, store: Store):
        def contended(writes: Sequence[Write]) -> None:
            raise Conflict("somebody else was first")

        backend.before_commit = contended
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            store.transact(add, KEY, deadline=0.6)
        assert raised.value.code is Code.STORE_CONTENTION
        assert time.monotonic() - began < 3.0

    @pytest.mark.parametrize("callers", [1, 100])
    def test_a_dead_store_is_said_within_three_seconds(self, place: Place, callers: int):
        backend = Mortal(place.open())
        store = store_over(backend, Budget())
        store.transact(add, KEY)
        backend.dead = True

        def call() -> float:
            began = time.monotonic()
            with pytest.raises(Unavailable) as raised:
                store.transact(add, KEY)
            assert raised.value.code is Code.STORE_UNAVAILABLE
            return time.monotonic() - began

        waits = all_well(together([call] * callers))
        print(f"\n{callers} callers of a dead store: the last was told after {max(waits):.2f} s")
        assert max(waits) < 3.0 + 0.5
        backend.dead = False
        assert in_a_moment(partial(store.transact, add, KEY)) == 2
        backend.close()

    def test_a_store_that_comes_back_in_time_is_never_noticed(self, place: Place):
        backend = Mortal(place.open())
        store = store_over(backend, Budget(call=0.3))
        backend.dead = True
        timer = threading.Timer(1.0, partial(setattr, backend, "dead", False))
        timer.start()
        assert store.transact(add, KEY) == 1
        assert store.get(UserLine, "user_a") == line(waiting=1)
        timer.join()
        backend.close()
