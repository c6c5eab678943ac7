"""A process whose way to the Firestore emulator lies at the commits the test chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from headgate import sources
from headgate.core.access import Caller, Role
from headgate.core.policy import Execution, Policy
from headgate.core.run import Run
from headgate.core.submission import Submission
from headgate.core.tenant import Tenant
from headgate.flow import audit, setup
from headgate.flow.deps import Asking, Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.submit import Accepted, Submitter
from headgate.store.committer import Budget
from headgate.store.firestore import FirestoreBackend
from headgate.store.port import Backend, Key, Query, Read, Write
from headgate.store.reader import Store
from headgate.verify.faulty import Pigeonhole
from headgate.verify.places import KINDS, Anything, NoArtifacts, Silence
from headgate.verify.proxy import Fault, Proxy

TENANT = "acme"
HEALS_AFTER = 0.3
POLICY = replace(Policy(), execution=Execution(backoff_min_seconds=0.01, backoff_max_seconds=0.02))


@dataclass
class ArmedBackend:
    """The real backend; when armed, the next commit meets the fault, which heals by itself."""

    inner: Backend
    proxy: Proxy
    armed: Fault | None = None
    skip: int = 0
    met: int = 0
    seconds: float = HEALS_AFTER

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        return self.inner.get(keys, timeout)

    def query(self, query: Query, timeout: float) -> Read:
        return self.inner.query(query, timeout)

    def count(self, query: Query, timeout: float) -> int:
        return self.inner.count(query, timeout)

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        if self.armed is not None and self.skip == 0:
            fault, self.armed = self.armed, None
            self.met += 1
            self.proxy.set(fault, self.seconds)
            threading.Timer(self.seconds, self.proxy.set, (Fault.NONE,)).start()
        elif self.armed is not None:
            self.skip -= 1
        self.inner.commit(writes, timeout)

    def ping(self, timeout: float) -> None:
        self.inner.ping(timeout)

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        self.inner.clear(keys, timeout)

    def close(self) -> None:
        self.inner.close()


class Remote:
    """One process behind the proxy, one tenant of the plan pro."""

    def __init__(self, proxy: Proxy, project: str) -> None:
        timing, ids = sources.SystemTiming(), sources.RandomIds()
        backend = FirestoreBackend(project, emulator_host=proxy.host, timing=timing, new_id=ids.commit)
        self.backend = ArmedBackend(backend, proxy)
        self.broker = Pigeonhole()
        self.deps = Deps(
            store=Store(self.backend, timing, ids.commit, Budget()),
            policy=POLICY,
            delivery=self.broker,
            handlers={kind: Anything(kind) for kind in KINDS},
            artifacts=NoArtifacts(),
            ids=ids,
            timing=timing,
            telemetry=Silence(),
        )
        self.dispatcher = Dispatcher(self.deps)
        self.submitter = Submitter(self.deps, self.dispatcher)
        setup.prepare(self.deps, self.dispatcher)
        setup.create_tenant(self.deps, TENANT, "pro")

    def under(self, fault: Fault, act: Callable[[], object], commit: int = 1) -> None:
        """Act; its n-th commit meets the fault."""
        before = self.backend.met
        self.backend.armed, self.backend.skip = fault, commit - 1
        act()
        assert self.backend.met == before + 1, "the act made fewer commits"

    def submit(self, key: str | None = None, **asked: object) -> Accepted:
        caller = Caller(credential="net", role=Role.OWNER, tenant=TENANT)
        submission = Submission(kind="command", **asked)  # type: ignore[arg-type]  # whatever the test asks
        answer = self.submitter.submit(caller, TENANT, submission, Asking(), key)
        assert isinstance(answer, Accepted), answer
        return answer

    def run(self, run_id: str) -> Run:
        found = self.deps.store.get(Run, run_id)
        assert found is not None
        return found

    def tenant(self) -> Tenant:
        found = self.deps.store.get(Tenant, TENANT)
        assert found is not None
        return found

    def why(self) -> audit.Reason:
        return audit.Reason(id=self.deps.ids.new("aud"), actor="op")
