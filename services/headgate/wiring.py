"""The composition root: the one place that knows every adapter. From settings it builds a process's parts."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace

from headgate import sources
from headgate.core.errors import HeadgateError
from headgate.core.policy import Policy
from headgate.delivery.embedded import EmbeddedDelivery
from headgate.delivery.port import Delivery, Message
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.execute import Executor
from headgate.flow.submit import Submitter
from headgate.handlers.command import default_commands
from headgate.handlers.interface import CommandSpec, HandlerConfig
from headgate.handlers.registry import load_handlers
from headgate.outbound.artifacts import ArtifactStore
from headgate.outbound.folder_artifacts import FolderArtifacts
from headgate.policy_file import load_policy
from headgate.settings import Settings
from headgate.settings.commands import load_commands
from headgate.store.committer import Budget
from headgate.store.port import Backend
from headgate.store.reader import Store
from headgate.store.sqlite import open_sqlite
from headgate.telemetry.logs import logging_to_stderr
from headgate.telemetry.port import Telemetry

EMBEDDED_WORKER = "embedded:"
"""Prefix of the worker names of embedded servers: one per data folder, so at start all of them are dead ones'."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One process's parts, wired."""

    settings: Settings
    deps: Deps
    dispatcher: Dispatcher
    submitter: Submitter
    executor: Executor
    worker: str
    delivery: Delivery

    def close(self) -> None:
        """Stop what runs in this process and give everything back."""
        self.executor.stop()
        self.delivery.close()
        self.deps.store.close()


def build(settings: Settings) -> System:
    """The parts for these settings. Raises the errors of settings, policy, plug-ins and stores: the start must stop."""
    timing, ids = sources.SystemTiming(), sources.RandomIds()
    telemetry = logging_to_stderr(settings.log, settings.log_level, settings.project)
    policy = load_the_policy(settings)
    delivery = _delivery(settings)
    deps = Deps(
        store=Store(_backend(settings, timing, ids), timing, ids.commit, _budget(settings)),
        policy=policy,
        delivery=delivery,
        handlers=load_handlers(handler_config(settings)),
        artifacts=_artifacts(settings),
        ids=ids,
        timing=timing,
        telemetry=telemetry,
    )
    dispatcher = Dispatcher(deps)
    worker = _worker_name(settings, ids)
    executor = Executor(deps, dispatcher, worker, settings.data / "work")
    if isinstance(delivery, EmbeddedDelivery):
        delivery.deliver_to(executor.handle, lambda message, error: _undelivered(telemetry, message, error))
    return System(
        settings=settings,
        deps=deps,
        dispatcher=dispatcher,
        submitter=Submitter(deps, dispatcher),
        executor=executor,
        worker=worker,
        delivery=delivery,
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
        commands = load_commands(settings.commands.read_text("utf-8"), str(settings.commands))
    roots = settings.local_repos if settings.delivery == "embedded" else ()
    return HandlerConfig(commands=commands, local_repos=roots)


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


def _budget(settings: Settings) -> Budget:
    return Budget(contention=settings.store_deadline_seconds, outage=settings.store_outage_seconds)


def _worker_name(settings: Settings, ids: sources.RandomIds) -> str:
    place = EMBEDDED_WORKER if settings.store == "sqlite" else f"{socket.gethostname()}:"
    return f"{place}{os.getpid()}:{ids.new('boot')}"


def _undelivered(telemetry: Telemetry, message: Message, error: BaseException) -> None:
    if isinstance(error, HeadgateError):
        telemetry.warning("run.delivery_failed", run_id=message.run_id, reason=str(error.code), detail=error.detail)
    else:
        telemetry.error("run.delivery_failed", error, run_id=message.run_id)
