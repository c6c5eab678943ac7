"""How one would write it at first. The races of tests/contract must fail on these, or they prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from headgate.core.admission import FullScope, concurrency_refusal
from headgate.core.lifecycle import created
from headgate.core.policy import Policy
from headgate.core.run import RunState
from headgate.core.submission import Submission, run_of
from headgate.core.tenant import Tenant
from headgate.flow.overview import count_in_flight_runs
from headgate.flow.submit import Accepted, Answer, Refused
from headgate.sources import RandomIds, SystemTiming
from headgate.store.committer import Budget
from headgate.store.port import Conflict, Delete, Mask, Put, Version, Write
from headgate.store.reader import Store
from headgate.store.transaction import Tx
from tests.support.live import Live
from tests.support.places import Place, store_over

T = TypeVar("T")


class CountThenCreate:
    """Counts what is in flight and, if there is room, creates a run. Whoever counts at the same moment sees room too."""

    def __init__(self, place: Place, policy: Policy) -> None:
        self._live = Live(store_over(place.open()), policy)

    def submit(self, tenant: str, key: str | None = None, kind: str = "command", **asked: Any) -> Answer:
        deps, of = self._live.deps, self._live.tenant(tenant)
        used = count_in_flight_runs(deps, tenant)
        if used >= of.cap:
            scope = FullScope(name=f"tenant:{tenant}", used=used, limit=of.cap)
            return Refused(refusal=concurrency_refusal(scope, of, deps.policy), receipt_id="rcpt_none")
        return Accepted(run=self._create(of, Submission(kind=kind, **asked)), receipt_id="rcpt_none", status=201)

    def _create(self, tenant: Tenant, asked: Submission) -> Any:
        deps = self._live.deps
        now, policy = deps.store.now(), deps.policy
        run = run_of(asked, deps.ids.new("run"), tenant.id, policy.plan(tenant.plan), policy, now)
        run = created(replace(run, state=RunState.PENDING, publish_due=now), now)
        deps.store.transact(lambda tx: tx.create(run), run.id)
        return run

    def close(self) -> None:
        self._live.close()


class UnverifiedStore(Store):
    """Everybody for himself, and nobody looks whether what he read still stands: the last writer wins."""

    def transact(self, body: Callable[[Tx], T], key: str, *, deadline: float | None = None, weight: int = 0) -> T:
        tx = Tx(self._backend, self._budget.call)
        answer = body(tx)
        writes = tx.writes("unverified")
        while writes:
            try:
                self._backend.commit([*self._blindly(writes)], self._budget.call)
                break
            except Conflict:
                continue
        return answer

    def _blindly(self, writes: list[Write]) -> list[Write]:
        """The writes with whatever versions the documents have now."""
        meant = [write for write in writes if isinstance(write, Put | Delete | Mask)]
        found = self._backend.get([write.key for write in meant], self._budget.call).found
        return [_with_version(write, now.version) for write, now in zip(meant, found, strict=True)]


def _with_version(write: Put | Delete | Mask, version: Version | None) -> Write:
    return write if isinstance(write, Mask) else write._replace(version=version)


def unverified_door(place: Place, policy: Policy) -> Live:
    """The product's flows on the store that verifies nothing."""
    return Live(UnverifiedStore(place.open(), SystemTiming(), RandomIds().commit, Budget()), policy)
