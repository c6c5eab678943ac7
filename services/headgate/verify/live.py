"""A process of a proof that runs in real time: the real flows on real threads, over a store that others share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headgate.core.access import Caller, Role
from headgate.core.errors import Unavailable
from headgate.core.policy import Policy
from headgate.delivery.port import Delivery
from headgate.flow import setup
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.submit import Submitter
from headgate.sources import RandomIds, SystemTiming
from headgate.store.committer import Budget
from headgate.store.port import Backend
from headgate.store.reader import Store
from headgate.verify.places import KINDS, Anything, NoArtifacts, Place, Silence

T = TypeVar("T")
PATIENCE = 10
"""How often a store that does not answer is asked again before a proof begins."""


def live_place(name: str, backend: Backend, broker: Delivery, policy: Policy) -> Place:
    """A process that has just started, on the machine's clock."""
    timing, ids = SystemTiming(), RandomIds()
    deps = Deps(
        store=Store(backend, timing, ids.commit, Budget()),
        policy=policy,
        delivery=broker,
        handlers={kind: Anything(kind) for kind in KINDS},
        artifacts=NoArtifacts(),
        ids=ids,
        timing=timing,
        telemetry=Silence(),
    )
    dispatcher = Dispatcher(deps)
    return Place(name, deps, dispatcher, Submitter(deps, dispatcher))


def prepare(place: Place, tenants: Sequence[str], plan: str) -> None:
    """Scopes, and tenants of a plan. Raises Unavailable when the store stays away."""
    _awaken(place)
    setup.prepare(place.deps, place.dispatcher)
    for tenant in tenants:
        setup.create_tenant(place.deps, tenant, plan, quota_exempt=True)


def _awaken(place: Place) -> None:
    """Wait for a store that has only just been started: an emulator takes seconds for its first answer."""
    for _ in range(PATIENCE):
        try:
            return place.deps.store.ping()
        except Unavailable:
            place.deps.timing.sleep(1.0)
    place.deps.store.ping()


def owner(tenant: str) -> Caller:
    """Who submits."""
    return Caller(credential="verify", role=Role.OWNER, tenant=tenant)


def together(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Every task in a thread of its own; their answers in order. The first error that one raised is raised here."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0-1) of all do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
