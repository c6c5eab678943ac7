"""What every `Backend` does, whatever it is made of. A subclass brings the fixture `backend`: a fresh, empty one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headgate.core.tenant import Tenant
from headgate.store.port import Backend, Conflict, Delete, Found, Key, Mask, Put, Query, Verify, Version, Write
from tests.contract.query_contract import QueryContract
from tests.contract.samples import T, create, found, ids, key, raw_of, run, tenant, version_of
from tests.contract.value_contract import ValueContract

ABSENT = Key("runs", "run_absent")


class BackendContract(ValueContract, QueryContract):
    """Subclass it and define the fixture `backend`."""

    @pytest.fixture
    def backend(self) -> Any:
        raise NotImplementedError

    # --- reading

    def test_what_is_not_there_is_found_as_none(self, backend: Backend):
        assert backend.get([ABSENT], T).found == [Found(ABSENT, None, None)]

    def test_documents_come_in_the_order_asked_for(self, backend: Backend):
        there = [run(f"run_{i}") for i in range(5)]
        backend.commit([create(raw) for raw in there], T)
        asked = [key(there[3]), ABSENT, key(there[0]), key(there[3])]
        assert [one.key for one in backend.get(asked, T).found] == asked
        assert [one.raw for one in backend.get(asked, T).found] == [there[3], None, there[0], there[3]]

    def test_the_time_is_in_ms_and_never_goes_back(self, backend: Backend):
        times = [backend.get([], T).now]
        for i in range(5):
            backend.commit([create(run(f"run_{i}"))], T)
            times += [backend.get([ABSENT], T).now, backend.query(Query("runs"), T).now]
        assert times == sorted(times)
        assert 1_700_000_000_000 < times[0] < 4_000_000_000_000

    def test_a_working_backend_answers_a_ping(self, backend: Backend):
        backend.ping(T)

    # --- writing one document

    def test_create_needs_absence(self, backend: Backend):
        backend.commit([create(run(priority=1))], T)
        with pytest.raises(Conflict):
            backend.commit([create(run(priority=2))], T)
        assert raw_of(backend, key(run())) == run(priority=1)

    def test_replace_leaves_nothing_of_the_old_document(self, backend: Backend):
        old = {**run(), "dropped": {"a": 1}}
        backend.commit([create(old)], T)
        backend.commit([Put(key(old), run(priority=2), version_of(backend, key(old)))], T)
        assert raw_of(backend, key(old)) == run(priority=2)

    def test_an_equal_rewrite_moves_the_version(self, backend: Backend):
        backend.commit([create(run())], T)
        before = version_of(backend, key(run()))
        backend.commit([Put(key(run()), run(), before)], T)
        assert version_of(backend, key(run())) != before
        with pytest.raises(Conflict):
            backend.commit([Put(key(run()), run(priority=2), before)], T)

    def test_a_recreated_document_has_another_version(self, backend: Backend):
        backend.commit([create(run())], T)
        before = version_of(backend, key(run()))
        backend.commit([Delete(key(run()), before)], T)
        backend.commit([create(run())], T)
        assert version_of(backend, key(run())) != before

    def test_delete_with_its_version_and_without(self, backend: Backend):
        backend.commit([create(run("run_1")), create(run("run_2"))], T)
        backend.commit([Delete(Key("runs", "run_1"), version_of(backend, Key("runs", "run_1")))], T)
        backend.commit([Delete(Key("runs", "run_2"), None), Delete(ABSENT, None)], T)
        assert ids(backend, Query("runs")) == []

    def test_verify_changes_nothing_not_even_the_version(self, backend: Backend):
        backend.commit([create(run())], T)
        before = found(backend, key(run()))
        backend.commit([Verify(key(run()), before.version), Verify(ABSENT, None)], T)
        assert found(backend, key(run())) == before
        assert raw_of(backend, ABSENT) is None

    def test_mask_sets_its_fields_and_moves_the_version(self, backend: Backend):
        backend.commit([create(tenant(limits={"user:a.b": 1}), Tenant)], T)
        at = key(tenant(), Tenant)
        before = version_of(backend, at)
        backend.commit([Mask(at, {"limits": {"repo:c/d": 2}, "turn": 1.5})], T)
        assert raw_of(backend, at) == tenant(limits={"repo:c/d": 2}, turn=1.5)
        with pytest.raises(Conflict):
            backend.commit([Put(at, tenant(), before)], T)

    def test_an_equal_mask_moves_the_version_too(self, backend: Backend):
        backend.commit([create(tenant(), Tenant)], T)
        at = key(tenant(), Tenant)
        before = version_of(backend, at)
        backend.commit([Mask(at, {"cap": 5})], T)
        assert version_of(backend, at) != before

    def test_a_mask_creates_nothing(self, backend: Backend):
        with pytest.raises(Conflict):
            backend.commit([Mask(ABSENT, {"priority": 1})], T)
        assert raw_of(backend, ABSENT) is None

    def test_clear_deletes_what_is_there(self, backend: Backend):
        backend.commit([create(run(f"run_{i}")) for i in range(3)], T)
        backend.clear([Key("runs", "run_0"), Key("runs", "run_2"), ABSENT], T)
        assert ids(backend, Query("runs")) == ["run_1"]

    def test_a_commit_of_nothing_is_fine(self, backend: Backend):
        backend.commit([], T)

    # --- all or nothing

    @pytest.mark.parametrize(
        "case", ["stale put", "stale delete", "stale verify", "no longer absent", "exists", "gone"]
    )
    def test_one_precondition_that_fails_undoes_the_whole_commit(self, backend: Backend, case: str):
        changed, gone = run("run_changed"), run("run_gone")
        backend.commit([create(changed), create(gone)], T)
        stale, last = version_of(backend, key(changed)), version_of(backend, key(gone))
        backend.commit([Put(key(changed), run("run_changed", priority=1), stale), Delete(key(gone), None)], T)
        cases: dict[str, Write] = {
            "stale put": Put(key(changed), changed, stale),
            "stale delete": Delete(key(changed), stale),
            "stale verify": Verify(key(changed), stale),
            "no longer absent": Verify(key(changed), None),
            "exists": create(changed),
            "gone": Put(key(gone), gone, last),
        }
        bad = cases[case]
        before = backend.query(Query("runs"), T).found
        for writes in ([create(run("run_new")), bad], [bad, create(run("run_new"))]):
            with pytest.raises(Conflict):
                backend.commit(writes, T)
        assert backend.query(Query("runs"), T).found == before

    @pytest.mark.parametrize("write", [lambda *at: Put(at[0], run(), at[1]), Delete, Verify])
    def test_a_version_of_what_was_never_there_fails(self, backend: Backend, write: Callable[[Key, Version], Write]):
        backend.commit([create(run())], T)
        with pytest.raises(Conflict):
            backend.commit([write(ABSENT, version_of(backend, key(run())))], T)

    # --- many at once

    def test_of_many_who_rely_on_one_version_exactly_one_wins(self, backend: Backend):
        backend.commit([create(run())], T)
        for _ in range(3):
            won = together(16, rewriter(backend, version_of(backend, key(run()))))
            assert len(won) == 1
            assert (raw_of(backend, key(run())) or {})["priority"] == won[0]

    def test_of_many_who_create_exactly_one_wins(self, backend: Backend):
        won = together(16, lambda i: backend.commit([create(run(priority=i)), create(run(f"run_of_{i}"))], T))
        assert len(won) == 1
        assert ids(backend, Query("runs")) == ["run_1", f"run_of_{won[0]}"]

    def test_masks_cannot_be_starved(self, backend: Backend):
        """Also the negative control of the two above: without a precondition everybody wins."""
        backend.commit([create(tenant(), Tenant)], T)
        at = key(tenant(), Tenant)
        assert len(together(16, lambda i: backend.commit([Mask(at, {f"field_{i}": i})], T))) == 16
        assert raw_of(backend, at) == tenant() | {f"field_{i}": i for i in range(16)}


def rewriter(backend: Backend, version: Version) -> Callable[[int], None]:
    return lambda i: backend.commit([Put(key(run()), run(priority=i), version)], T)


def together(n: int, act: Callable[[int], None]) -> list[int]:
    """Which of `n` threads, let loose at once, met no Conflict. Any other error is raised."""
    start = threading.Barrier(n)

    def one(i: int) -> bool:
        start.wait()
        try:
            act(i)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(n) as pool:
        return [i for i, won in enumerate(pool.map(one, range(n))) if won]
