"""What every `Backend` answers to queries; a part of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from headgate.core.lane import Lane
from headgate.core.run import RunState
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.store.documents import AuditRecord
from headgate.store.port import Backend, Key, Put, Query, Where
from tests.contract.samples import T, audit, create, ids, lane, run, shard, tenant

RUNS = [
    run("run_a", priority=1),
    run("run_b", priority=2, repo="acme/web", delayed=True, not_before=99),
    run("run_c", priority=3, repo="acme/web", not_before=100),
    run("run_d", priority=4, state=RunState.CANCELLED, finished_at=7),
    run("run_e", priority=5, tenant="other", user="ключ", key=2**61 + 1),
]

AUDIT = [
    audit("aud_a", at=1),
    audit("aud_b", at=2, actor="sweep"),
    audit("aud_c", at=3, tenant=None, subject="system"),
    audit("aud_d", at=3, action="limit.reset"),
]

LANES = [
    lane("lane_a", head=2, kind="git"),
    lane("lane_b", head=3, kind="git"),
    lane("lane_c", head=1),
    lane("lane_d", head=4),
    lane("lane_e", head=5, kind="git"),
    lane("lane_f", head=2),
]


class QueryContract:
    """Conditions, order, limit, cursor, count."""

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ([("tenant", "==", "acme")], "abcd"),
            ([("tenant", "==", "acme"), ("priority", "==", 3)], "c"),
            ([("priority", "<", 3)], "ab"),
            ([("priority", "<=", 3)], "abc"),
            ([("priority", ">", 3)], "de"),
            ([("priority", ">=", 3)], "cde"),
            ([("priority", ">=", 2), ("priority", "<", 4)], "bc"),
            ([("priority", "in", [1, 4, 9])], "ad"),
            ([("priority", "in", [])], ""),
            ([("tenant", "==", "acme"), ("repo", "in", ["acme/web", "x"]), ("delayed", "==", True)], "b"),
            ([("repo", "==", None)], "ade"),
            ([("repo", "==", None), ("tenant", "==", "acme")], "ad"),
            ([("delayed", "==", True)], "b"),
            ([("not_before", "<=", 99)], "b"),
            ([("user", "==", "ключ")], "e"),
            ([("key", ">", 2**61)], "e"),
        ],
    )
    def test_a_query_finds_what_meets_every_condition(self, backend: Backend, where: Any, expected: str):
        backend.commit([create(raw) for raw in RUNS], T)
        query = Query("runs", tuple(Where(*one) for one in where))
        assert sorted(ids(backend, query)) == [f"run_{one}" for one in expected]
        assert backend.count(query, T) == len(expected)

    def test_what_a_query_finds_serves_as_a_read(self, backend: Backend):
        backend.commit([create(raw) for raw in RUNS], T)
        answer = backend.query(Query("runs", (Where("priority", "==", 3),)), T).found
        assert answer == backend.get([Key("runs", "run_c")], T).found
        backend.commit([Put(answer[0].key, run("run_c", priority=9), answer[0].version)], T)

    def test_array_contains_any(self, backend: Backend):
        offers: dict[str, Sequence[str]] = {"t_a": ["git"], "t_b": [], "t_c": ["command", "git"], "t_d": ["command"]}
        backend.commit([create(tenant(id, offers=kinds), Tenant) for id, kinds in offers.items()], T)

        def offering(*kinds: str) -> list[str]:
            return ids(backend, Query("tenants", (Where("offers", "array_contains_any", list(kinds)),), ("turn",)))

        assert offering("git") == ["t_a", "t_c"]
        assert offering("git", "command") == ["t_a", "t_c", "t_d"]
        assert offering("indexing") == offering() == []

    @pytest.mark.parametrize(
        ("order", "expected"),
        [
            ((), "abcdef"),
            (("head",), "cafbde"),
            (("-head",), "edbfac"),
            (("kind", "head"), "cfdabe"),
            (("-kind", "-head"), "ebadfc"),
        ],
    )
    def test_order_and_ties_by_id_in_the_same_direction(self, backend: Backend, order: tuple[str, ...], expected: str):
        backend.commit([create(raw, Lane) for raw in LANES], T)
        query = Query("lanes", order=order)
        assert ids(backend, query) == [f"lane_{one}" for one in expected]
        assert ids(backend, Query("lanes", order=order, limit=2)) == [f"lane_{one}" for one in expected[:2]]

    @pytest.mark.parametrize("order", [(), ("head",), ("-head",), ("kind", "head"), ("-kind", "-head")])
    def test_a_cursor_goes_on_after_the_last_one_seen(self, backend: Backend, order: tuple[str, ...]):
        backend.commit([create(raw, Lane) for raw in LANES], T)
        where = (Where("tenant", "==", "acme"),)
        everything = ids(backend, Query("lanes", where, order))
        seen: list[str] = []
        after: tuple[Any, ...] | None = None
        while page := backend.query(Query("lanes", where, order, limit=2, after=after), T).found:
            seen += [one.key.id for one in page]
            last = page[-1].raw or {}
            after = (*(last[name.lstrip("-")] for name in order), page[-1].key.id)
        assert seen == everything
        assert len(seen) == len(LANES)

    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            ([], "dcba"),
            ([("tenant", "==", "acme")], "dba"),
            ([("tenant", "==", "acme"), ("at", ">=", 2)], "db"),
            ([("actor", "==", "op"), ("action", "==", "limit.set"), ("at", ">=", 1)], "ca"),
            ([("actor", "==", "op"), ("subject", "==", "tenant:acme"), ("tenant", "==", "acme")], "da"),
        ],
    )
    def test_the_audit_log_newest_first_page_by_page(self, backend: Backend, conditions: Any, expected: str):
        backend.commit([create(raw, AuditRecord) for raw in AUDIT], T)
        where, seen = tuple(Where(*one) for one in conditions), []
        after: tuple[Any, ...] | None = None
        while page := backend.query(Query("audit", where, ("-at",), limit=2, after=after), T).found:
            seen += [one.key.id.removeprefix("aud_") for one in page]
            after = ((page[-1].raw or {})["at"], page[-1].key.id)
        assert "".join(seen) == expected

    def test_a_count_looks_at_the_conditions_only(self, backend: Backend):
        backend.commit([create(raw, Lane) for raw in LANES], T)
        where = (Where("tenant", "==", "acme"), Where("head", ">=", 3))
        assert backend.count(Query("lanes", where, ("head",), limit=1, after=(9, "lane_z")), T) == 3

    def test_floats_are_ordered_as_numbers(self, backend: Backend):
        backend.commit([create(shard(f"s~{i}", rnd=i / 10, free=i != 5), Shard) for i in range(11)], T)
        where = (Where("scope", "==", "system"), Where("free", "==", True), Where("rnd", ">=", 0.5))
        assert ids(backend, Query("shards", where, ("rnd",), limit=2)) == ["s~6", "s~7"]
