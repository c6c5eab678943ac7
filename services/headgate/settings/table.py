"""The table of settings: one field for each environment variable. Reading and documentation both go by it."""

# A field() with metadata is what a dataclass wants; ruff does not see through `_variable`.
# ruff: noqa: RUF009

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from headgate.core.policy import Execution
from headgate.settings.values import FOLDER, FOLDERS, SECONDS, URL, Reader, choice, file, text, whole

PUSH_PATH = "/pubsub/push"
"""Where Pub/Sub delivers runs, below the server's URL."""

_HOST = text("a host name or address", r"[A-Za-z0-9._:\[\]-]+")
_EMULATOR = text("host:port", r"[A-Za-z0-9._\[\]:-]+:\d{1,5}")
_PUBSUB_NAME = text(
    "a Pub/Sub name: a letter, then 2 to 254 letters, digits and - _ . ~ + %", r"[A-Za-z][\w.~+%-]{2,254}"
)
_PROJECT = text("a project id: small letters, digits and -", r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_DATABASE = text("(default) or a database id", r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]")
_BUCKET = text("a bucket's name, without gs://", r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ACCOUNT = text("the e-mail of a service account", r"[^@\s]+@[^@\s]+")


class SettingsError(Exception):
    """The environment is wrong. `problems` has one sentence each: name, value (secrets masked), remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable: how it is read, what it means, and its default as people read it."""

    name: str
    reader: Reader
    meaning: str
    default: str
    secret: bool


def _variable(
    name: str, reader: Reader, default: object, meaning: str, *, shown: str | None = None, secret: bool = False
) -> Any:
    words = shown or ("" if default is None else f"{default:g}" if isinstance(default, float) else str(default))
    entry = Variable(name=name, reader=reader, meaning=meaning, default=words, secret=secret)
    return field(default=default, metadata={"variable": entry}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator set. Times are seconds; None = not set."""

    port: int = _variable("PORT", whole(1, 65535), 8080, "port the server listens on")
    host: str = _variable("HEADGATE_HOST", _HOST, "127.0.0.1", "address the server listens on")
    data: Path = _variable(
        "HEADGATE_DATA", FOLDER, Path(".headgate"), "folder of the database, the artifacts and demo.json"
    )
    store: Literal["sqlite", "firestore"] = _variable(
        "HEADGATE_STORE", choice("sqlite", "firestore"), "sqlite", "where tenants and runs are stored"
    )
    delivery: Literal["embedded", "pubsub"] = _variable(
        "HEADGATE_DELIVERY", choice("embedded", "pubsub"), "embedded", "how runs reach a worker"
    )
    policy: Path | None = _variable(
        "HEADGATE_POLICY",
        file("the path of a policy file (YAML)"),
        None,
        "policy file; what it leaves out keeps its default",
    )
    commands: Path | None = _variable(
        "HEADGATE_COMMANDS",
        file("the path of a file of commands (JSON)"),
        None,
        "file of the commands that a command run may name",
        shown="echo, sleep, true, false",
    )
    local_repos: tuple[Path, ...] = _variable(
        "HEADGATE_LOCAL_REPOS",
        FOLDERS,
        (),
        "folders below which a git run may name a local path; only with HEADGATE_DELIVERY=embedded",
        shown="none",
    )
    push_auth: Literal["oidc", "none"] | None = _variable(
        "HEADGATE_PUSH_AUTH",
        choice("oidc", "none"),
        None,
        "how a push proves who it is; needed with HEADGATE_DELIVERY=pubsub; none only towards the emulator",
        shown="every push is refused",
    )
    push_audience: str | None = _variable(
        "HEADGATE_PUSH_AUDIENCE", text("the audience of the token"), None, "audience of the push token; needed for oidc"
    )
    push_service_account: str | None = _variable(
        "HEADGATE_PUSH_SERVICE_ACCOUNT", _ACCOUNT, None, "service account that signs pushes; needed for oidc"
    )
    sweep_service_account: str | None = _variable(
        "HEADGATE_SWEEP_SERVICE_ACCOUNT",
        _ACCOUNT,
        None,
        "service account as which the scheduler calls the sweep",
        shown="HEADGATE_PUSH_SERVICE_ACCOUNT",
    )
    push_endpoint: str = _variable(
        "HEADGATE_PUSH_ENDPOINT",
        URL,
        f"http://127.0.0.1:8080{PUSH_PATH}",
        "where the emulator's subscription delivers",
        shown=f"http://HEADGATE_HOST:PORT{PUSH_PATH}",
    )
    topic: str = _variable("HEADGATE_TOPIC", _PUBSUB_NAME, "headgate-runs", "Pub/Sub topic of runs")
    subscription: str = _variable(
        "HEADGATE_SUBSCRIPTION", _PUBSUB_NAME, "headgate-runs-push", "Pub/Sub push subscription to it"
    )
    project: str = _variable(
        "GOOGLE_CLOUD_PROJECT",
        _PROJECT,
        "headgate-local",
        "Google Cloud project; needed with Firestore or Pub/Sub unless they are emulated",
    )
    firestore_database: str = _variable("HEADGATE_FIRESTORE_DATABASE", _DATABASE, "(default)", "Firestore database")
    firestore_emulator: str | None = _variable("FIRESTORE_EMULATOR_HOST", _EMULATOR, None, "Firestore emulator")
    pubsub_emulator: str | None = _variable("PUBSUB_EMULATOR_HOST", _EMULATOR, None, "Pub/Sub emulator")
    artifact_bucket: str | None = _variable(
        "HEADGATE_ARTIFACT_BUCKET", _BUCKET, None, "bucket of the artifacts", shown="the folder HEADGATE_DATA/artifacts"
    )
    sqlite_sync: Literal["full", "normal"] = _variable(
        "HEADGATE_SQLITE_SYNC",
        choice("full", "normal"),
        "full",
        "full survives a loss of power; normal is faster and may then lose the last commits",
    )
    store_deadline_seconds: float = _variable(
        "HEADGATE_STORE_DEADLINE_SECONDS", SECONDS, 10.0, "how long a commit is tried against contention"
    )
    store_outage_seconds: float = _variable(
        "HEADGATE_STORE_OUTAGE_SECONDS", SECONDS, 2.5, "how long a store that does not answer is tried before the 503"
    )
    lease_seconds: float | None = _variable(
        "HEADGATE_LEASE_SECONDS",
        SECONDS,
        None,
        "how long a worker holds a run without a heartbeat; above two heartbeats",
        shown="of the policy (30)",
    )
    heartbeat_seconds: float | None = _variable(
        "HEADGATE_HEARTBEAT_SECONDS", SECONDS, None, "how often a worker renews its lease", shown="of the policy (10)"
    )
    sweep_seconds: float = _variable(
        "HEADGATE_SWEEP_SECONDS", SECONDS, 5.0, "how often the sweep runs", shown="5 embedded, 60 with pubsub"
    )
    instances: int = _variable(
        "HEADGATE_INSTANCES", whole(1, 10_000), 1, "processes among which a tenant's request rate is divided"
    )
    workers: int = _variable("HEADGATE_WORKERS", whole(1, 4096), 64, "runs that this process executes at once")
    metrics: Literal["operators", "local"] = _variable(
        "HEADGATE_METRICS",
        choice("operators", "local"),
        "operators",
        "who may read /metrics: an operator's key, or also whoever asks from this very machine without one",
    )
    log: Literal["auto", "json", "pretty"] = _variable(
        "HEADGATE_LOG", choice("auto", "json", "pretty"), "auto", "form of the log; auto is pretty on a terminal"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _variable(
        "HEADGATE_LOG_LEVEL", choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "least severity that is logged"
    )
    url: str | None = _variable("HEADGATE_URL", URL, None, "server that the CLI talks to", shown="of demo.json")
    api_key: str | None = _variable(
        "HEADGATE_API_KEY",
        text("a key without spaces", r"[!-~]+"),
        None,
        "key of the CLI",
        shown="of demo.json",
        secret=True,
    )

    def execution(self, policy: Execution) -> Execution:
        """The policy's execution with the lease and heartbeat set here. Raises SettingsError when they do not fit."""
        lease = self.lease_seconds or policy.lease_seconds
        heartbeat = self.heartbeat_seconds or policy.heartbeat_seconds
        if lease <= 2 * heartbeat:
            remedy = "a lease outlasts two heartbeats; raise HEADGATE_LEASE_SECONDS or lower HEADGATE_HEARTBEAT_SECONDS"
            raise SettingsError([f"lease {lease:g} s, heartbeat {heartbeat:g} s: {remedy}"])
        return replace(policy, lease_seconds=lease, heartbeat_seconds=heartbeat)


def variables() -> Iterator[tuple[str, Variable]]:
    """Each field of Settings with its variable, in the order of the table."""
    return ((entry.name, entry.metadata["variable"]) for entry in fields(Settings))
