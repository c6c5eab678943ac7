"""One headgate process on the machine's own clock: the real flows over any backend, its messages in a queue."""

from __future__ import annotations

import contextlib
import queue
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from headgate.core.access import Caller, Role
from headgate.core.policy import Policy
from headgate.core.run import Run
from headgate.core.submission import AskedLimits, Submission
from headgate.core.tenant import Tenant
from headgate.delivery.port import Message
from headgate.flow import audit, invariants, overview, setup, work
from headgate.flow.deps import Asking, Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.submit import Answer, Submitter
from headgate.handlers.interface import Done
from headgate.outbound.folder_artifacts import FolderArtifacts
from headgate.sources import RandomIds, SystemTiming
from headgate.store.reader import Store
from tests.support.picture import Picture
from tests.support.world import Anything, Facts


class QueuedDelivery:
    """Messages wait for whoever of this process takes them."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def publish(self, message: Message, timeout: float) -> None:
        self.messages.put(message)

    def ping(self, timeout: float) -> None:
        return

    def close(self) -> None:
        return


class Live:
    """The parts, and the verbs that races speak. Thread-safe, as the product is."""

    def __init__(self, store: Store, policy: Policy | None = None, kinds: tuple[str, ...] = ("command", "git")) -> None:
        self.delivery = QueuedDelivery()
        self.telemetry = Facts()
        self.deps = Deps(
            store=store,
            policy=_without_ramps(policy or Policy()),
            delivery=self.delivery,
            handlers={kind: Anything(kind) for kind in kinds},
            artifacts=FolderArtifacts(Path(tempfile.gettempdir()) / "headgate-live"),
            ids=RandomIds(),
            timing=SystemTiming(),
            telemetry=self.telemetry,
        )
        self.dispatcher = Dispatcher(self.deps)
        self.submitter = Submitter(self.deps, self.dispatcher)

    def prepare(self, **tenants: str) -> None:
        """Scopes, and tenants by plan."""
        setup.prepare(self.deps, self.dispatcher)
        for tenant, plan in tenants.items():
            setup.create_tenant(self.deps, tenant, plan, quota_exempt=True)

    def submit(self, tenant: str, key: str | None = None, kind: str = "command", **asked: Any) -> Answer:
        caller = Caller(credential=f"key of {tenant}", role=Role.OWNER, tenant=tenant)
        submission = Submission(kind=kind, limits=AskedLimits(), **asked)
        return self.submitter.submit(caller, tenant, submission, Asking(request_id="req"), key)

    def execute(self, message: Message) -> Run | None:
        """Claim and finish at once; None if the message was late."""
        claimed = work.claim(self.deps, message.run_id, message.fence, "worker")
        if claimed is None:
            return None
        return work.finish(self.deps, self.dispatcher, claimed, work.Ending(outcome=Done({})))

    def execute_all(self) -> int:
        """Every message of this process, and those that follow from it."""
        count = 0
        with contextlib.suppress(queue.Empty):
            while True:
                count += self.execute(self.delivery.messages.get_nowait()) is not None
        return count

    def close(self) -> None:
        self.deps.store.close()

    def why(self) -> audit.Reason:
        return audit.Reason(id=self.deps.ids.new("aud"), actor="op", reason="because")

    def tenant(self, tenant: str) -> Tenant:
        found = self.deps.store.get(Tenant, tenant)
        assert found is not None
        return found

    def picture(self) -> Picture:
        return Picture.of(self.deps.store)

    def assert_books_balance(self) -> None:
        """What every race must end with: the invariants hold, and counted runs equal the holders."""
        assert invariants.check(self.deps).violations == ()
        picture = self.picture()
        assert [*picture.over(), *picture.half_way()] == []
        for tenant in picture.tenants.values():
            assert overview.count_in_flight_runs(self.deps, tenant.id) == len(tenant.holders)
        assert not [facts for action, facts in self.telemetry.said if facts.get("error")]


def _without_ramps(policy: Policy) -> Policy:
    """What a resume frees starts at once here: races are about the line, tests/flow/test_brakes.py about ramps."""
    return replace(policy, pressure=replace(policy.pressure, ramp_seconds=0))
