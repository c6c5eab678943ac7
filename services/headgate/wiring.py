"""The composition root: the one place that knows every adapter. From settings it builds a process's parts."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headgate import sources
from headgate.core.errors import HeadgateError
from headgate.core.policy import Policy
from headgate.delivery.embedded import EmbeddedDelivery
from headgate.delivery.port import Delivery, Message
from headgate.flow.alarm import AlarmClock
from headgate.flow.deps import Deps, GaugeWriter
from headgate.flow.dispatch import Dispatcher
from headgate.flow.execute import Executor
from headgate.flow.submit import Submitter
from headgate.flow.sweep import start_due
from headgate.handlers.command import default_commands
from headgate.handlers.interface import CommandSpec, HandlerConfig
from headgate.handlers.registry import load_handlers
from headgate.outbound.artifacts import ArtifactStore
from headgate.outbound.folder_artifacts import FolderArtifacts
from headgate.outbound.host import HostMemory
from headgate.outbound.surroundings import AnyHost, Broker
from headgate.policy_file import load_policy
from headgate.settings import Settings
from headgate.settings.commands import load_commands, runnable
from headgate.store.committer import Budget
from headgate.store.port import Backend
from headgate.store.reader import Store
from headgate.store.sqlite import open_sqlite
from headgate.telemetry.counting import CountingTelemetry
from headgate.telemetry.logs import logging_to_stderr
from headgate.telemetry.port import Telemetry

COUNTED_PLACES = 1_000
"""Firestore bills a count for each thousand counted: places in a longer line are read off a ladder."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One process's parts, wired."""

    settings: Settings
    deps: Deps
    dispatcher: Dispatcher
    submitter: Submitter
    executor: Executor
    place: str
    delivery: Delivery
    alarm: AlarmClock
    counting: CountingTelemetry

    def start(self) -> None:
        """Start this process's own threads: the heart of live runs, and the alarm for moments that come.

        From here on runs are executed in this process, not before.
        """
        self.executor.start()
        if isinstance(self.delivery, EmbeddedDelivery):
            self.delivery.deliver_to(self.executor.handle, self._undelivered)
        self.alarm.start(self._ring)

    def _ring(self) -> None:
        try:
            start_due(self.deps, self.dispatcher)
        except Exception as error:  # noqa: BLE001 - an alarm that dies would be missed silently; the sweep tries again
            self.deps.telemetry.error("alarm.error", error)

    def _undelivered(self, message: Message, error: BaseException) -> None:
        telemetry = self.deps.telemetry
        if isinstance(error, HeadgateError):
            telemetry.warning("run.delivery_failed", run_id=message.run_id, reason=str(error.code), detail=error.detail)
        else:
            telemetry.error("run.delivery_failed", error, run_id=message.run_id)

    def close(self) -> None:
        """Stop what runs in this process and give everything back."""
        self.alarm.stop()
        self.executor.stop()
        self.delivery.close()
        self.deps.store.close()


def build(settings: Settings) -> System:
    """The parts for these settings. Raises the errors of settings, policy, plug-ins and stores: the start must stop."""
    timing, ids = sources.SystemTiming(), sources.RandomIds()
    telemetry = CountingTelemetry(logging_to_stderr(settings.log, settings.log_level, settings.project))
    policy = load_the_policy(settings)
    delivery = _delivery(settings)
    alarm = AlarmClock(timing.monotonic)
    deps = Deps(
        store=Store(_backend(settings, timing, ids), timing, ids.commit, _budget(settings)),
        policy=policy,
        delivery=delivery,
        handlers=load_handlers(handler_config(settings)),
        artifacts=_artifacts(settings),
        ids=ids,
        timing=timing,
        telemetry=telemetry,
        alarm=alarm,
        host=HostMemory() if settings.delivery == "embedded" else AnyHost(),
        broker=_broker(settings, timing, telemetry),
        gauges=_gauges(settings, timing, telemetry),
        counted_places=None if settings.store == "sqlite" else COUNTED_PLACES,
    )
    dispatcher = Dispatcher(deps)
    place = _place(settings, ids)
    worker = f"{place}:{os.getpid()}:{ids.new('boot')}"
    executor = Executor(deps, dispatcher, worker, work_folder(place))
    return System(
        settings=settings,
        deps=deps,
        dispatcher=dispatcher,
        submitter=Submitter(deps, dispatcher),
        executor=executor,
        place=place,
        delivery=delivery,
        alarm=alarm,
        counting=telemetry,
    )


def load_the_policy(settings: Settings) -> Policy:
    """The policy of the file, or the default one; lease and heartbeat as the environment overrides them."""
    policy = Policy()
    if settings.policy is not None:
        policy = load_policy(settings.policy.read_text("utf-8"), str(settings.policy))
    return replace(policy, execution=settings.execution(policy.execution))


def handler_config(settings: Settings) -> HandlerConfig:
    """What the kinds are made from."""
    commands: Mapping[str, CommandSpec] = default_commands()
    if settings.commands is not None:
        source = str(settings.commands)
        commands = runnable(load_commands(settings.commands.read_text("utf-8"), source), source)
    roots = settings.local_repos if settings.delivery == "embedded" else ()
    return HandlerConfig(commands=commands, local_repos=roots, hidden=(settings.data.absolute(),))


def _backend(settings: Settings, timing: sources.SystemTiming, ids: sources.RandomIds) -> Backend:
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.store == "sqlite":
        return open_sqlite(settings.data / "headgate.db", sync=settings.sqlite_sync)
    from headgate.store.firestore import FirestoreBackend  # grpc takes half a second to import

    return FirestoreBackend(
        settings.project, settings.firestore_database, settings.firestore_emulator, timing=timing, new_id=ids.commit
    )


def _delivery(settings: Settings) -> Delivery:
    if settings.delivery == "embedded":
        return EmbeddedDelivery(settings.workers)
    from headgate.delivery.pubsub import PubSubDelivery

    return PubSubDelivery(settings.project, settings.topic, settings.pubsub_emulator)


def _artifacts(settings: Settings) -> ArtifactStore:
    if settings.artifact_bucket is None:
        return FolderArtifacts(settings.data / "artifacts")
    from google.cloud.storage import Client

    from headgate.outbound.gcs_artifacts import GcsArtifacts

    return GcsArtifacts(settings.artifact_bucket, Client(project=settings.project))


def _broker(settings: Settings, timing: sources.SystemTiming, telemetry: Telemetry) -> Broker | None:
    """Cloud Monitoring knows the subscription's backlog; elsewhere our own records do."""
    if settings.delivery == "embedded" or settings.pubsub_emulator is not None:
        return None
    from google.cloud.monitoring_v3 import MetricServiceClient  # it takes 20 MiB

    from headgate.outbound.monitoring import MonitoredSubscription

    client = MetricServiceClient()
    return MonitoredSubscription(client, settings.project, settings.subscription, timing.wall_ms, telemetry)


def _gauges(settings: Settings, timing: sources.SystemTiming, telemetry: Telemetry) -> GaugeWriter | None:
    """Cloud Monitoring keeps them in production; embedded and towards emulators `/metrics` has them."""
    if settings.delivery == "embedded" or settings.pubsub_emulator is not None:
        return None
    from google.cloud.monitoring_v3 import MetricServiceClient  # as above

    from headgate.outbound.gauges import CloudGauges

    return CloudGauges(MetricServiceClient(), settings.project, timing.wall_ms, telemetry)


def _budget(settings: Settings) -> Budget:
    return Budget(contention=settings.store_deadline_seconds, outage=settings.store_outage_seconds)


def _place(settings: Settings, ids: sources.RandomIds) -> str:
    """The name of this data folder, made once: workers are called by it, so a server that starts knows its own dead."""
    path = settings.data / "place"
    with contextlib.suppress(FileExistsError), path.open("x", encoding="ascii") as file:
        file.write(ids.new("place"))
    return path.read_text("ascii")


def work_folder(place: str) -> Path:
    """Where attempts work. Under the system's temporary folder, which other users can pass: commands are not root."""
    return Path(tempfile.gettempdir()) / f"headgate-{place}"
