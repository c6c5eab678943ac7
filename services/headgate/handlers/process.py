"""Run a command as a child that cannot outlive, outgrow or outspend its run.

Two processes are started: a supervisor (`stub.py`), and below it the command, inside the layers of `sandbox.py`; when
the worker is root, it is a user of its own.

There is no `preexec_fn` (it is unsafe in a process with threads): the stub does after its exec what that would.
The order goes to the stub through an unnamed file on its standard input, not through its arguments: those have a size
limit, and everybody on the host can read them, secrets of the environment included.

If the worker dies at any line here, the kernel tells the supervisor, which kills the tree. That holds for the *thread*
too: whoever calls `run_child` stays in it until the end, so its thread lives as long as the child.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from headgate.core.errors import Code
from headgate.core.policy import RunLimits
from headgate.core.run import RunState
from headgate.handlers import seccomp, stub
from headgate.handlers.child import Child, ChildEnd, ChildLost, Clock, Reason
from headgate.handlers.interface import Cancellation, Failed
from headgate.handlers.sandbox import active_layers, ordered, wrapper
from headgate.handlers.users import RunUser, run_user

__all__ = ["ChildEnd", "ChildLost", "Reason", "run_child", "stopped"]

_OPEN_FILES = 1024
_PROCESSES = 64
"""Processes and threads of one run."""
_DATA_FACTOR, _DATA_ROOM = 2, 1024**3
"""The kernel refuses a process memory above `factor x limit + room` at once: far above the limit, which is watched
every second, but below what one process could take in that second."""


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
    network: bool = False,
    user: RunUser | None = None,
    shown: Sequence[str] = (),
    hidden: Sequence[Path] = (),
    layers: Collection[str] | None = None,
    clock: Clock = time.monotonic,
) -> ChildEnd:
    """Run `argv` (its first item a path) in `workdir` with exactly this environment, and wait for its end.

    Output and error output come merged, in pieces, to `on_output`, which must be quick; the last `tail_bytes` are kept.
    The run is over when the command exits: what it left behind is killed, and a descendant that holds the pipe holds
    nobody up. Over a limit or when cancelled, the whole tree is killed within about a second.
    When the worker is root the command is `user` (else one claimed for this call), who becomes owner of `workdir`;
    `as_worker` keeps it root, and leaves out what needs another user. `network` leaves it the network. `shown` names
    files below /tmp that it needs, `hidden` folders that it must not see (see `sandbox.wrapper`). `layers` are those of
    this machine unless a test says otherwise; which ones held is in the end.
    Raises ChildLost, OSError when no process can be started, and what `on_output` raises (the tree is killed then).
    """
    if not argv or not all(argv[:1]):
        raise ValueError("argv is empty: give the path of a program first")
    held = ordered(_layers(layers, as_worker, network))
    with _user(user, "uid" in held) as whose:
        uid = _uid(whose, as_worker)
        order = {
            "argv": list(argv),
            "workdir": str(workdir),
            "environment": dict(environment),
            "user": uid,
            "claim": None if whose is None else whose.claim,
            "layers": held,
            "filter": seccomp.program().hex(),
            "wrapper": wrapper(workdir, held, limits.memory_bytes, [*argv[:1], *shown], hidden),
            "limits": _rlimits(limits, file_bytes, "uid" in held) if "rlimits" in held else {},
            "worker": os.getpid(),
        }
        _give(workdir, uid)
        child = Child.start(order, on_output, tail_bytes, clock)
        try:
            reason = child.follow(limits, cancelled)
            child.stop()
            return child.ended(reason, limits, held)
        finally:
            child.close()


def _layers(chosen: Collection[str] | None, as_worker: bool, network: bool) -> set[str]:
    """What holds for this child. As the worker's user: no other user, and no mounts that would hide the worker's files."""
    held = set(active_layers() if chosen is None else chosen)
    if as_worker:
        held -= {"uid", "bubblewrap", "netns"}
    return held - {"netns"} if network else held


@contextmanager
def _user(given: RunUser | None, wanted: bool) -> Iterator[RunUser | None]:
    if given is not None or not wanted:
        yield given if wanted else None
        return
    with run_user() as user:
        yield user


def _uid(user: RunUser | None, as_worker: bool) -> int | None:
    """Who the command is; None = who the worker is. Never root by default: without users of its own it is nobody."""
    if os.geteuid() != 0 or as_worker:
        return None
    return stub.NOBODY if user is None else user.uid


def _give(workdir: Path, uid: int | None) -> None:
    """Only the folder itself: changing the owner of what lies in it could follow links that an earlier child made."""
    if uid is None:
        return
    folder = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(folder, uid, uid)
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)


def _rlimits(limits: RunLimits, file_bytes: int, own_user: bool) -> dict[str, tuple[int, int]]:
    """The kernel's limits for each process, the net below our own checks: CPU has some seconds more than allowed.

    Processes are counted per user, so that limit means something only for a user that no other run has. Not the address
    space but the data in it is limited: much of a Java, Go or JavaScript program's address space is never used.
    """
    cpu = math.ceil(limits.cpu_cores * limits.duration_seconds) + 2
    data = _DATA_FACTOR * limits.memory_bytes + _DATA_ROOM
    bounds = {"CPU": (cpu, cpu + 2), "DATA": (data, data), "FSIZE": (file_bytes, file_bytes)}
    bounds |= {"NOFILE": (_OPEN_FILES, _OPEN_FILES), "CORE": (0, 0)}
    return bounds | ({"NPROC": (_PROCESSES, _PROCESSES)} if own_user else {})


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
        sandbox=end.layers,
    )
