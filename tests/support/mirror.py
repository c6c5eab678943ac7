"""A simple model beside the store: it follows every commit and says which rule of the house one has broken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from headgate.core import tenant as tenants
from headgate.core.run import IN_FLIGHT, TERMINAL, Run, RunState
from headgate.core.scopes import SYSTEM, TENANT, kind_scope
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, Shard
from headgate.store.documents import COLLECTIONS, from_raw
from headgate.store.port import Backend, Delete, Key, Mask, Put, Query, Raw, Read, Write
from tests.support.picture import Picture
from tests.support.wrapped import Wrapped


class Mirror(Wrapped):
    """Keeps a picture of what was committed, on the test's own clock; `broken` lists what was wrong with a commit."""

    def __init__(self, inner: Backend, clock: Callable[[], int]) -> None:
        super().__init__(inner)
        self.picture = Picture()
        self.broken: list[str] = []
        self._clock = clock
        self._raw: dict[Key, Raw] = {}
        kept: dict[type, dict[str, Any]] = {
            Tenant: self.picture.tenants,
            Run: self.picture.runs,
            Control: self.picture.controls,
            Shard: self.picture.shards,
        }
        self._kept = {COLLECTIONS[cls]: (cls, documents) for cls, documents in kept.items()}

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        return self.inner.get(keys, timeout)._replace(now=self._clock())

    def query(self, query: Query, timeout: float) -> Read:
        return self.inner.query(query, timeout)._replace(now=self._clock())

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        raise NotImplementedError

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self.inner.commit(writes, timeout)
        before = {w.key.id: self.picture.runs.get(w.key.id) for w in writes if w.key.collection == COLLECTIONS[Run]}
        for write in writes:
            self._follow(write)
        for id, old in before.items():
            if id in self.picture.runs:
                self.broken += _wrong(self.picture, old, self.picture.runs[id])

    def _follow(self, write: Write) -> None:
        if isinstance(write, Put):
            self._raw[write.key] = write.raw
        elif isinstance(write, Delete):
            self._raw.pop(write.key, None)
        elif isinstance(write, Mask):
            self._raw[write.key] = {**self._raw[write.key], **write.fields}
        if write.key.collection in self._kept:
            cls, documents = self._kept[write.key.collection]
            documents.pop(write.key.id, None)
            if write.key in self._raw:
                documents[write.key.id] = from_raw(cls, self._raw[write.key])


def _wrong(picture: Picture, old: Run | None, new: Run) -> Iterator[str]:
    """What is wrong with this change of a run, in this commit."""
    if old is not None:
        yield from _history(old, new)
    was_held = old is not None and old.state in IN_FLIGHT
    if new.state in IN_FLIGHT and not was_held:
        yield from _caps(picture, new)
        yield from _order(picture, old, new)
        if picture.gates(new):
            yield f"{new.id} started under a gate: {picture.gates(new)}"
    if new.state is RunState.RUNNING and was_held and "paused" in picture.gates(new) and old != new:
        yield from _claimed_under_pause(old, new)
    if old is None and picture.controls[SYSTEM].mode != "normal":
        yield f"{new.id} was taken in while {picture.controls[SYSTEM].mode}"


def _history(old: Run, new: Run) -> Iterator[str]:
    if old.state in TERMINAL and old != new:
        yield f"{new.id} changed after its end: {old.state} to {new.state}"
    if new.fence < old.fence or new.event_seq < old.event_seq:
        yield f"{new.id} went back: fence {old.fence} to {new.fence}, events {old.event_seq} to {new.event_seq}"


def _claimed_under_pause(old: Run | None, new: Run) -> Iterator[str]:
    if old is not None and old.state is RunState.PENDING:
        yield f"{new.id} was claimed after a pause was answered"


def _caps(picture: Picture, run: Run) -> Iterator[str]:
    tenant = picture.tenants[run.tenant]
    for scope in (TENANT, *run.scopes):
        cap = tenants.limit(tenant, scope)
        if cap is not None and tenants.use(tenant, scope) > cap:
            yield f"{run.id} passed the cap {cap} of {scope} of {tenant.id}"
    for scope in (SYSTEM, kind_scope(run.kind)):
        cap = picture.controls[scope].cap
        if cap is not None and picture.in_flight(scope) > cap:
            yield f"{run.id} passed the cap {cap} of {scope}"


def _order(picture: Picture, old: Run | None, new: Run) -> Iterator[str]:
    """Who started instead of somebody of its tenant and kind that stood before it and could have."""
    tenant = picture.tenants[new.tenant]
    rest = {id: holder for id, holder in tenant.holders.items() if id != new.id}
    before = replace(tenant, holders=rest)
    for run in picture.runs.values():
        rival = run.tenant == new.tenant and run.kind == new.kind and (old is None or run.key < new.key)
        if rival and picture.startable(run, before):
            yield f"{new.id} started before {run.id}"
