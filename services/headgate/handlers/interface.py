"""The handler interface: what a kind must offer, and what it gets.

A kind is a class with `kind`, `check` and `run`, named in the entry point group `headgate.handlers`:

    [project.entry-points."headgate.handlers"]
    report = "acme_reports:ReportHandler"

    class ReportHandler:
        kind = "report"

        def __init__(self, config: HandlerConfig) -> None: ...

        def check(self, input: Mapping[str, object]) -> None:
            if "month" not in input:
                raise InvalidInput("month", "is missing: the report's month as YYYY-MM")

        def run(self, job: Job) -> Done | Failed:
            job.log(b"building\\n")
            path = job.workdir / "report.pdf"
            ...
            job.save_artifact("report.pdf", path, "application/pdf")
            return Done({"pages": 12})

`run` is called in a thread of the worker, possibly more than once for one run (at-least-once): a crashed attempt is
tried again. It must look at `job.cancelled` now and then, or use `process.run_child`, which does.
An exception that leaves `run` fails the run with HANDLER_ERROR and is not retried; `Failed(retryable=True)` is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headgate.core.policy import RunLimits
from headgate.core.run import Artifact, RunState, Usage


class InvalidInput(Exception):
    """`check` found the input wrong: `field` is a path inside `input`, `problem` says what and how to mend it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"input.{field} {problem}")
        self.field = field
        self.problem = problem


class Cancellation(Protocol):
    """Tells a handler to stop: the run was cancelled, lost its lease, or the worker shuts down."""

    def is_set(self) -> bool:
        """Whether to stop now."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds for the word to stop; True when it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt of one run, as its handler sees it.

    `environment` is correlation (HEADGATE_RUN_ID, HEADGATE_REQUEST_ID, TRACEPARENT …) for child processes.
    `log` takes raw output bytes; it is bounded and followed live. `workdir` is private and removed afterwards.
    """

    run_id: str
    tenant: str
    kind: str
    attempt: int
    input: Mapping[str, object]
    limits: RunLimits
    workdir: Path
    cancelled: Cancellation
    environment: Mapping[str, str]
    log: Callable[[bytes], None]
    save_artifact: Callable[[str, Path, str], Artifact]


@dataclass(frozen=True, slots=True)
class Done:
    """The run completed; `result` is JSON-able and goes to the caller."""

    result: Mapping[str, object]
    usage: Usage | None = None
    sandbox: tuple[str, ...] = ()
    """The layers around its children (`ChildEnd.layers`), told in the event of the run's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The run ended otherwise. `state` is FAILED or TIMED_OUT; what is retryable is tried again while attempts last."""

    code: str
    message: str
    state: RunState = RunState.FAILED
    retryable: bool = False
    result: Mapping[str, object] | None = None
    usage: Usage | None = None
    sandbox: tuple[str, ...] = ()


class Handler(Protocol):
    """A kind. One instance serves every run of the process, from many threads."""

    kind: str

    def check(self, input: Mapping[str, object]) -> None:
        """Raise InvalidInput when the input of a submission is wrong. Called before admission; must be quick."""

    def run(self, job: Job) -> Done | Failed:
        """Do the work of one attempt and say how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """One allowed command: its argv, and whether a run may add arguments."""

    argv: tuple[str, ...]
    args: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerConfig:
    """What handlers are made from: the operator's settings that concern them."""

    commands: Mapping[str, CommandSpec] = field(default_factory=dict)
    local_repos: tuple[Path, ...] = ()
    """Roots below which a git run may name a local path. Empty = https only."""
    output_tail_bytes: int = 64 * 1024
    hidden: tuple[Path, ...] = ()
    """Folders that no child may see: where headgate keeps its own data. Other users cannot read them anyway."""
