"""The picture: every document that matters as it is now, drawn from the commits themselves. Looking at it costs no read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from headgate.core.lane import Lane
from headgate.core.run import LIVE, Run
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, Shard
from headgate.flow.invariants import Books
from headgate.store.documents import UserLine, collection_of, from_raw
from headgate.store.port import Mask, Put, Raw, Write

D = TypeVar("D")
SEEN: dict[str, type] = {collection_of(cls): cls for cls in (Tenant, Run, Lane, Control, Shard, UserLine)}


@dataclass
class Picture:
    """Drawn commit by commit; retention (which deletes) is not simulated."""

    _raws: dict[str, dict[str, Raw]] = field(default_factory=lambda: {name: {} for name in SEEN})
    _documents: dict[type, dict[str, Any]] = field(default_factory=lambda: {cls: {} for cls in SEEN.values()})
    _live: dict[str, Run] = field(default_factory=dict)

    def draw(self, writes: Sequence[Write]) -> list[tuple[Any, Any]]:
        """What a commit changed: (before, after) of each document, None before if it is new."""
        return [self._draw(write) for write in writes if isinstance(write, Put | Mask) and write.key.collection in SEEN]

    def _draw(self, write: Put | Mask) -> tuple[Any, Any]:
        name, id = write.key
        raws, documents = self._raws[name], self._documents[SEEN[name]]
        raws[id] = {**raws[id], **write.fields} if isinstance(write, Mask) else write.raw
        before = documents.get(id)
        after: Any = from_raw(SEEN[name], raws[id])
        documents[id] = after
        if isinstance(after, Run):
            self._live.pop(id, None)
            if after.state in LIVE:
                self._live[id] = after
        return before, after

    def get(self, cls: type[D], id: str) -> D:
        """One document that is there."""
        document: D = self._documents[cls][id]
        return document

    def all(self, cls: type[D]) -> list[D]:
        """Every document of a class."""
        return list(self._documents[cls].values())

    @property
    def live(self) -> list[Run]:
        """Every run that has not ended."""
        return list(self._live.values())

    def tenant_books(self, tenant: str) -> Books:
        """One tenant's books, exactly as of this commit."""
        return Books(
            tenants={tenant: self.get(Tenant, tenant)},
            live=[run for run in self._live.values() if run.tenant == tenant],
            lanes=[lane for lane in self.all(Lane) if lane.tenant == tenant],
            controls={},
            shards=[],
            users=[user for user in self.all(UserLine) if user.tenant == tenant],
        )

    def wide_books(self) -> Books:
        """The wide scopes' books."""
        controls = {control.id: control for control in self.all(Control)}
        return Books(tenants={}, live=self.live, lanes=[], controls=controls, shards=self.all(Shard), users=[])
