"""H17: everybody writes the same document. Callers of one process and tenant are folded into one commit; a wide scope is
spread over shards. What it costs on Firestore: tests/contract/races.py and `headgate verify races`."""

from __future__ import annotations

import time
from functools import partial

import pytest

from headgate.core.policy import OnLimit
from headgate.core.run import Run
from headgate.core.wide import shard_count
from headgate.store import committer
from headgate.store.documents import where
from headgate.store.sqlite import SqliteBackend
from tests.support.live import Live
from tests.support.places import store_over
from tests.support.threads import all_well, together
from tests.support.wrapped import Hooked

BURST = 60
SLOW = 0.01
"""Seconds a commit takes: time for the others to come together behind it."""


def commits_of_a_burst() -> tuple[int, Live]:
    hooked = Hooked(SqliteBackend(":memory:", "off", None))
    live = Live(store_over(hooked))
    live.prepare(acme="enterprise")
    before = hooked.commits
    hooked.before_commit = lambda writes: time.sleep(SLOW)
    callers = [partial(live.submit, "acme", repo=f"o/r{n}", on_limit=OnLimit.QUEUE) for n in range(BURST)]
    all_well(together(callers))
    hooked.before_commit = lambda writes: None
    return hooked.commits - before, live


def test_a_tenants_burst_is_folded_into_few_commits():
    commits, live = commits_of_a_burst()
    assert commits <= BURST / 2, "promotions included"
    assert len(live.deps.store.query(Run, where(Run))) == BURST
    live.execute_all()
    live.assert_books_balance()


def test_control_unfolded_every_caller_is_a_commit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(committer, "MAX_BODIES", 1)
    commits, _ = commits_of_a_burst()
    assert commits >= BURST


@pytest.mark.parametrize(("cap", "shards"), [(1, 1), (5, 5), (50, 50), (1000, 64), (None, 16)])
def test_a_wide_scope_is_spread_over_as_many_documents_as_it_has_slots(cap: int | None, shards: int):
    assert shard_count(cap) == shards
