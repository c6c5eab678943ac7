"""Run a command as a child that cannot outlive, outgrow or outspend its run.

Two processes are started: a supervisor (`stub.py`), and below it the command, which is `nobody` when the worker is
root. There is no `preexec_fn` (it is unsafe in a process with threads): the stub does after its exec what that would.
The order goes to the stub through an unnamed file on its standard input, not through its arguments: those have a size
limit, and everybody on the host can read them, secrets of the environment included.

If the worker dies at any line here, the kernel tells the supervisor, which kills the tree. That holds for the *thread*
too: whoever calls `run_child` stays in it until the end, so its thread lives as long as the child.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headgate.core.errors import Code
from headgate.core.policy import RunLimits
from headgate.core.run import RunState
from headgate.handlers import stub
from headgate.handlers.child import Child, ChildEnd, ChildLost, Clock, Reason
from headgate.handlers.interface import Cancellation, Failed

__all__ = ["ChildEnd", "ChildLost", "Reason", "run_child", "stopped"]

_OPEN_FILES = 1024


def run_child(
    argv: Sequence[str],
    *,
    workdir: Path,
    environment: Mapping[str, str],
    limits: RunLimits,
    cancelled: Cancellation,
    on_output: Callable[[bytes], None] = lambda _: None,
    tail_bytes: int = 64 * 1024,
    file_bytes: int = 4 * 1024**3,
    as_worker: bool = False,
    clock: Clock = time.monotonic,
) -> ChildEnd:
    """Run `argv` (its first item a path) in `workdir` with exactly this environment, and wait for its end.

    Output and error output come merged, in pieces, to `on_output`, which must be quick; the last `tail_bytes` are kept.
    The run is over when the command exits: what it left behind is killed, and a descendant that holds the pipe holds
    nobody up. Over a limit or when cancelled, the whole tree is killed within about a second.
    When the worker is root the command is `nobody`, who becomes owner of `workdir`; `as_worker` keeps it root.
    Raises ChildLost, OSError when no process can be started, and what `on_output` raises (the tree is killed then).
    """
    if not argv or not all(argv[:1]):
        raise ValueError("argv is empty: give the path of a program first")
    nobody = os.geteuid() == 0 and not as_worker
    if nobody:
        _give_to_nobody(workdir)
    order = {
        "argv": list(argv),
        "workdir": str(workdir),
        "environment": dict(environment),
        "nobody": nobody,
        "limits": _rlimits(limits, file_bytes),
        "worker": os.getpid(),
    }
    child = Child.start(order, on_output, tail_bytes, clock)
    try:
        reason = child.follow(limits, cancelled)
        child.stop()
        return child.ended(reason)
    finally:
        child.close()


def _give_to_nobody(workdir: Path) -> None:
    """Only the folder itself: changing the owner of what lies in it could follow links that an earlier child made."""
    folder = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(folder, stub.NOBODY, stub.NOBODY)
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)


def _rlimits(limits: RunLimits, file_bytes: int) -> dict[str, tuple[int, int]]:
    """The kernel's limits for each process, the net below our own checks: CPU has some seconds more than allowed."""
    cpu = math.ceil(limits.cpu_cores * limits.duration_seconds) + 2
    return {
        "CPU": (cpu, cpu + 2),
        "FSIZE": (file_bytes, file_bytes),
        "NOFILE": (_OPEN_FILES, _OPEN_FILES),
        "CORE": (0, 0),
    }


def stopped(end: ChildEnd, limits: RunLimits, result: Mapping[str, object] | None = None) -> Failed | None:
    """What it means for the run that we ended its child; None when the child came to its end by itself."""
    if end.reason == "exit":
        return None
    seconds = limits.cpu_cores * limits.duration_seconds
    code, message = {
        "duration": (Code.TIMED_OUT, f"It ran longer than its limit of {limits.duration_seconds:g} s and was ended."),
        "memory": (Code.MEMORY_LIMIT, f"It used more memory than its limit of {limits.memory_bytes} bytes."),
        "cpu": (Code.CPU_LIMIT, f"It used more than {seconds:g} CPU seconds, its limit (cores x duration)."),
        "cancelled": (Code.HANDLER_ERROR, "It was ended before it was done: cancelled, or its worker shuts down."),
    }[end.reason]
    return Failed(
        code=code,
        message=message,
        state=RunState.TIMED_OUT if end.reason == "duration" else RunState.FAILED,
        retryable=end.reason == "cancelled",  # of a cancelled run nobody reads this; after a shutdown it is tried again
        result=result,
        usage=end.usage,
    )
