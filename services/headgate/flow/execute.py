"""Execute: what a worker process does with a message. claim → run the handler, heart beating → finish."""

from __future__ import annotations

import codecs
import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from headgate.core.errors import StaleFence, Unavailable
from headgate.core.run import Artifact, Run
from headgate.delivery.port import Message
from headgate.flow import work
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.handlers.interface import Done, Failed, Job
from headgate.handlers.removal import temporary_folder
from headgate.handlers.sandbox import active_layers

TICK_SECONDS = 0.5
"""How often the heart looks for output to store, a lease to extend, a word to stop."""
STOP_GRACE_SECONDS = 5.0


class Handled(Enum):
    """What became of a message. All of them are "dealt with"; STOPPING asks the broker to bring it to somebody else."""

    EXECUTED = auto()
    NOTHING_TO_DO = auto()
    STOPPING = auto()


@dataclass(eq=False)
class _Live:
    """One attempt under way in this process."""

    run: Run
    log_limit: int
    started: float
    last_beat: float
    cancelled: threading.Event = field(default_factory=threading.Event)
    artifacts: list[Artifact] = field(default_factory=list)
    handed_back: bool = False
    look: bool = False
    """Something changed this run: beat at the next chance and learn what."""
    over: bool = False
    """Nothing to keep alive any more: the outcome is being stored, or another attempt holds the run."""
    _text: list[str] = field(default_factory=list)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def log(self, data: bytes) -> None:
        """Take output; what is over the limit is dropped with one line that says so."""
        with self._lock:
            room = self.log_limit - self._bytes
            if room <= 0:
                return
            self._bytes += len(data)
            self._text.append(self._decoder.decode(data[:room]))
            if len(data) >= room:
                self._text.append(f"\n[output over {self.log_limit} bytes is not kept]\n")

    def take_output(self) -> str:
        """What has come since the last call."""
        with self._lock:
            text, self._text = "".join(self._text), []
            return text

    def return_output(self, text: str) -> None:
        """Output that could not be stored: it goes first next time."""
        with self._lock:
            self._text.insert(0, text)


class Executor:
    """Executes runs in the threads that bring it messages, and keeps their leases from one heart thread."""

    def __init__(self, deps: Deps, dispatcher: Dispatcher, worker: str, workroot: Path) -> None:
        self._deps = deps
        self._dispatcher = dispatcher
        self._worker = worker
        self._workroot = workroot
        self._live: dict[tuple[str, int], _Live] = {}  # by run and fence: an earlier attempt may still be ending here
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._heart = threading.Thread(target=self._beat_on, name="heart", daemon=True)

    def start(self) -> None:
        """Start the heart and listen for changes of live runs (a cancel is felt at once, not at the next beat)."""
        self._workroot.mkdir(parents=True, exist_ok=True)
        self._deps.telemetry.info("worker.sandbox", layers=active_layers())
        self._deps.changes.listen(self._changed)
        self._heart.start()

    def stop(self, grace: float = STOP_GRACE_SECONDS) -> None:
        """Claim nothing more; wait up to `grace` seconds for live runs, then stop them and put them back in line."""
        self._stopping = True
        deadline = self._deps.timing.monotonic() + grace
        while self._live and self._deps.timing.monotonic() < deadline:
            self._deps.timing.sleep(0.05)
        for live in self._all():
            live.handed_back = True
            live.cancelled.set()
        deadline = self._deps.timing.monotonic() + 3.0
        while self._live and self._deps.timing.monotonic() < deadline:
            self._deps.timing.sleep(0.05)
        self._wake.set()
        if self._heart.is_alive():
            self._heart.join(timeout=3.0)
        with contextlib.suppress(OSError):  # what still lies there is for the next start to remove
            self._workroot.rmdir()

    @property
    def worker(self) -> str:
        """The name under which runs are claimed here: of this boot, no other process ever has it."""
        return self._worker

    def executing(self) -> int:
        """How many runs are under way here."""
        return len(self._live)

    def handle(self, message: Message) -> Handled:
        """Deal with a message; returns when the run's attempt is over. Raises Unavailable if the store cannot be asked."""
        if self._stopping:
            return Handled.STOPPING
        run = work.claim(self._deps, message.run_id, message.fence, self._worker)
        if run is None:
            return Handled.NOTHING_TO_DO
        with self._living(run) as live:
            outcome = self._run_handler(run, live)
            self._record(run, live, outcome)
        return Handled.EXECUTED

    # --- one attempt

    @contextlib.contextmanager
    def _living(self, run: Run) -> Iterator[_Live]:
        now = self._deps.timing.monotonic()
        live = _Live(run=run, log_limit=self._deps.policy.execution.log_bytes, started=now, last_beat=now)
        with self._lock:
            self._live[run.id, run.fence] = live
        try:
            yield live
        finally:
            with self._lock:
                del self._live[run.id, run.fence]

    def _run_handler(self, run: Run, live: _Live) -> Done | Failed:
        """The handler's answer; whatever it raises fails the run, not the worker."""
        try:
            handler = self._deps.handlers[run.kind]
            with temporary_folder(f"{run.id}-", self._left, self._workroot) as folder:
                return handler.run(self._job(run, live, folder))
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything: it fails the run, not the worker
            self._deps.telemetry.error("run.handler_error", error, run_id=run.id, kind=run.kind)
            return Failed(code="HANDLER_ERROR", message=f"{type(error).__name__}: {error}"[:2000])

    def _left(self, folder: Path, error: OSError) -> None:
        """What an attempt left behind costs room, not its outcome; the next start tries again."""
        self._deps.telemetry.warning("run.folder_left", folder=str(folder), reason=str(error))

    def _job(self, run: Run, live: _Live, workdir: Path) -> Job:
        def save(name: str, source: Path, media_type: str) -> Artifact:
            artifact = self._deps.artifacts.save(run.id, str(run.fence), name, source, media_type)
            live.artifacts.append(artifact)
            return artifact

        return Job(
            run_id=run.id,
            tenant=run.tenant,
            kind=run.kind,
            attempt=run.attempt,
            input=json.loads(run.input),
            limits=run.limits,
            workdir=workdir,
            cancelled=live.cancelled,
            environment=correlation(run),
            log=live.log,
            save_artifact=save,
        )

    def _record(self, run: Run, live: _Live, outcome: Done | Failed) -> None:
        """Store the outcome, patiently: the store may be away for a moment, and until the lease ends nobody else works on it."""
        live.over = True
        ending = work.Ending(outcome=outcome, artifacts=tuple(live.artifacts), output=live.take_output())
        while True:
            try:
                if live.handed_back and isinstance(outcome, Failed):
                    work.hand_back(self._deps, self._dispatcher, run)
                else:
                    work.finish(self._deps, self._dispatcher, run, ending)
                return
            except Unavailable as down:
                if self._past_lease(live):
                    self._deps.telemetry.warning("run.result_lost", run_id=run.id, detail=down.detail)
                    return  # the lease is over: the sweep decides, as if we had died
                self._deps.timing.sleep(0.2 + 0.3 * self._deps.timing.random())

    # --- the heart

    def _beat_on(self) -> None:
        while not (self._stopping and not self._live):
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()
            for live in self._all():
                self._beat_one(live)

    def _beat_one(self, live: _Live) -> None:
        if live.over:
            return
        due = self._deps.timing.monotonic() - live.last_beat >= self._deps.policy.execution.heartbeat_seconds
        output = live.take_output()
        if not (output or due or live.look):
            return
        live.look = False
        try:
            work.beat(self._deps, live.run, output)
            live.last_beat = self._deps.timing.monotonic()
        except StaleFence as stale:
            self._deps.telemetry.info("run.attempt_over", run_id=live.run.id, detail=stale.detail)
            live.over = True
            live.cancelled.set()
        except Unavailable as down:
            live.return_output(output)
            self._deps.telemetry.warning("run.heartbeat_failed", run_id=live.run.id, detail=down.detail)
            if self._past_lease(live):
                live.cancelled.set()  # somebody else may hold the run by now: stop early
        except Exception as error:  # noqa: BLE001 - the heart of all live runs must not stop for one; it is reported
            live.return_output(output)
            self._deps.telemetry.error("run.heartbeat_error", error, run_id=live.run.id)

    def _past_lease(self, live: _Live) -> bool:
        return self._deps.timing.monotonic() - live.last_beat > live.run.lease_seconds

    def _changed(self, run_ids: Sequence[str]) -> None:
        """A live run changed under us (a cancel, say): beat now, and learn it. The heart's own writes are no news."""
        if threading.current_thread() is self._heart:
            return
        for live in self._all():
            if live.run.id in run_ids and not live.over:
                live.look = True
                self._wake.set()

    def _all(self) -> list[_Live]:
        with self._lock:
            return list(self._live.values())


def correlation(run: Run) -> dict[str, str]:
    """What a child process gets in its environment: enough to find its run, nothing secret."""
    names = {"HEADGATE_RUN_ID": run.id, "HEADGATE_TENANT": run.tenant, "HEADGATE_ATTEMPT": str(run.attempt)}
    if run.request_id is not None:
        names["HEADGATE_REQUEST_ID"] = run.request_id
    if "traceparent" in run.trace:
        names["TRACEPARENT"] = run.trace["traceparent"]
    return names
