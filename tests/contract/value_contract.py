"""What a document of any `Backend` can hold; a part of the contract."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.core.lane import Lane
from headgate.core.run import Run
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.store.documents import IdempotencyRecord, Marker
from headgate.store.port import Backend, Key, Query
from tests.contract.samples import T, create, idem, ids, key, lane, marker, raw_of, run, shard, tenant


class ValueContract:
    """A document comes back as it was written, to the type of each number."""

    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            False,
            0,
            -1,
            2**61,
            2**62,
            -(2**61),
            0.0,
            1.0,
            0.1,
            -2.5e-9,
            1e300,
            "",
            "ключ 🔑 \n\t\x00",
            [],
            {},
        ],
        ids=repr,
    )
    def test_a_value_comes_back_as_it_was(self, backend: Backend, value: Any):
        raw = marker(extra={"value": value, "list": [value], "deep": {"er": [{"value": value}]}})
        backend.commit([create(raw, Marker)], T)
        back = raw_of(backend, key(raw, Marker)) or {}
        assert back == raw
        assert type(back["extra"]["value"]) is type(value)

    @pytest.mark.parametrize("odd", ["a.b", "a/b", "a`b", "a\\b", "ключ", "__x__", "~", "~x", "[]", "0", " "])
    def test_a_map_may_have_any_key(self, backend: Backend, odd: str):
        raw = marker(extra={odd: {odd: [1]}})
        backend.commit([create(raw, Marker)], T)
        assert raw_of(backend, key(raw, Marker)) == raw

    def test_lists_may_hold_lists(self, backend: Backend):
        raw = marker(extra={"grid": [[1, [2, []]], [], {"[]": [3]}]})
        backend.commit([create(raw, Marker)], T)
        assert raw_of(backend, key(raw, Marker)) == raw

    @pytest.mark.parametrize("id", ["t~user:a/b", "acme%2Fweb", "ключ 🔑", "a.b*c", "x" * 400])
    def test_an_id_may_have_any_character(self, backend: Backend, id: str):
        backend.commit([create(run(id))], T)
        assert raw_of(backend, Key("runs", id)) == run(id)
        assert ids(backend, Query("runs")) == [id]

    def test_large_user_json_comes_back(self, backend: Backend):
        raw = run(input='{"text": "' + "añ🔑" * 90_000 + '"}', result="null", labels={"a.b/c": "`d`"})
        assert len(raw["input"].encode()) > 600 * 1024
        backend.commit([create(raw)], T)
        assert raw_of(backend, key(raw)) == raw

    def test_every_kind_of_document_comes_back(self, backend: Backend):
        documents = [(run(), Run), (lane(), Lane), (tenant(), Tenant), (shard(), Shard)]
        documents.append((idem(expire_at=1_900_000_000_000), IdempotencyRecord))
        backend.commit([create(raw, cls) for raw, cls in documents], T)
        read = backend.get([key(raw, cls) for raw, cls in documents], T)
        assert [one.raw for one in read.found] == [raw for raw, _ in documents]
