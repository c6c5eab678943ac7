"""A backend that looks at every document it commits: what is written under a version is a state that really was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headgate.core import tenant as tenants
from headgate.core.scopes import TENANT
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.store.documents import COLLECTIONS, from_raw
from headgate.store.port import Backend, Put, Write
from tests.support.wrapped import Wrapped


class Watched(Wrapped):
    """Remembers every scope that was ever above its cap (no cap may be lowered meanwhile)."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.over: list[str] = []

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self.inner.commit(writes, timeout)
        for write in writes:
            if isinstance(write, Put):
                self.over += _over(write)


def _over(write: Put) -> Iterator[str]:
    if write.key.collection == COLLECTIONS[Tenant]:
        tenant = from_raw(Tenant, write.raw)
        for scope in {TENANT, *(name for holder in tenant.holders.values() for name in holder.scopes)}:
            cap, used = tenants.limit(tenant, scope), tenants.use(tenant, scope)
            if cap is not None and used > cap:
                yield f"{tenant.id} {scope}: {used} of {cap}"
    if write.key.collection == COLLECTIONS[Shard]:
        shard = from_raw(Shard, write.raw)
        if shard.credit is not None and len(shard.holders) > shard.credit and not shard.settle:
            yield f"{shard.id}: {len(shard.holders)} of {shard.credit}"
