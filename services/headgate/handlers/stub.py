"""The small program between a worker and the command of a run: it starts the command tamed, and ends all of it.

    worker ── supervisor (this file, run as a script) ── command ── whatever that starts

The supervisor is a subreaper, so even a double-forked grandchild in its own session stays below it and is found.
It stays root when the worker is root: the command runs as another user and cannot signal it. Which of the layers of
`sandbox.py` it makes, the order says; with bubblewrap that is started in between and makes some of them. It uses the
standard library alone and is started with `-I -S` by its path, so neither the site-packages nor this package need be
importable.

If the worker dies, the kernel sends SIGTERM here (PR_SET_PDEATHSIG) and the whole tree is killed. If this process is
killed, the kernel kills the command (same means) and the worker sees the report pipe close without a report.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from typing import Any, NoReturn

NOBODY = 65534
CANNOT_EXECUTE, NOT_FOUND = 126, 127
"""Exit codes of a command that could not be started, as shells have them."""

_CLONE_NEWIPC, _CLONE_NEWNET = 0x08000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_WAKE = (signal.SIGTERM, signal.SIGCHLD)
_ROUNDS, _PAUSE = 200, 0.005
"""Killing a tree takes at most a second: 200 rounds of 5 ms."""


def descendants(root: int) -> list[int]:
    """Every process below `root`, nearest first. Those that come or go meanwhile may be missing: ask again."""
    children = _children if os.path.exists("/proc/thread-self/children") else _children_by_scan
    found, seen = [root], {root}
    for parent in found:  # grows while it is walked; a process that moves up meanwhile is met once
        fresh = [pid for pid in children(parent) if pid not in seen]
        seen.update(fresh)
        found += fresh
    return found[1:]


def strike(root: int) -> None:
    """Kill every process below `root` once: stop all first, so that fewer slip away by forking meanwhile."""
    for pid in descendants(root):
        _send(pid, signal.SIGSTOP)
    for pid in descendants(root):
        _send(pid, signal.SIGKILL)


def _children(pid: int) -> Iterator[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:  # it is gone, and its children have moved up
        return
    for thread in threads:
        yield from map(int, _read(f"/proc/{pid}/task/{thread}/children").split())


def _children_by_scan(pid: int) -> Iterator[int]:
    """For kernels without CONFIG_PROC_CHILDREN: look at everybody's parent."""
    for name in os.listdir("/proc"):
        parent = _read(f"/proc/{name}/stat").rpartition(")")[2].split()[1:2] if name.isdigit() else []
        if parent == [str(pid)]:
            yield int(name)


def _read(path: str) -> str:
    """A file below /proc; empty when its process has gone."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself: what we wanted


def main() -> None:
    """Run the order that comes as JSON on standard input and report on the descriptor it names."""
    order = json.loads(os.fdopen(0, "rb", closefd=False).read())
    for ours in (order["report"], order.get("claim")):  # the claim on its user lasts as long as this process
        if ours is not None:
            os.set_inheritable(ours, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKE)  # from here on they wait for sigwait: none is missed or too early
    for number in _WAKE:  # a worker may ignore them, and ignoring is inherited
        signal.signal(number, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != order["worker"]:
        return  # the worker died before the line above: nobody would tell us to stop
    os.setsid()
    if "subreaper" in order["layers"]:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    supervisor, own_memory = os.getpid(), _resident()
    command = os.fork()
    if command == 0:
        _become(order, supervisor)
    status = _watch(command)
    gone = _end_all(supervisor) if "tree_kill" in order["layers"] else _end_one(command)
    report = _report(_unwrapped(status) if order["wrapper"] else status, gone, own_memory)
    os.write(order["report"], json.dumps(report).encode())


def _watch(command: int) -> int | None:
    """Wait for the end of the command and give its status; None when told to stop first."""
    while signal.sigwait(_WAKE) == signal.SIGCHLD:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == command:
                return ended[1]
    return None


def _end_all(supervisor: int) -> bool:
    """Kill what is left below us; whether nothing is. Every orphan becomes our child, so "no child" is the proof."""
    for _ in range(_ROUNDS):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return True
        strike(supervisor)
        time.sleep(_PAUSE)
    return False


def _end_one(command: int) -> bool:
    """Only for tests that show what the others are good for: kill the command and nothing that it started."""
    _send(command, signal.SIGKILL)
    return True


def _unwrapped(status: int | None) -> int | None:
    """Bubblewrap tells of a signal as shells do, by the exit code 128 + its number: back to a status that says so."""
    number = os.WEXITSTATUS(status) - 128 if status is not None and os.WIFEXITED(status) else 0
    return number if number in signal.valid_signals() else status


def _report(status: int | None, gone: bool, own_memory: int) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss * 1024
    return {
        "exit": os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": peak if peak > own_memory * 1.5 else 0,  # below that it is our own image, as forked before the exec
        "gone": gone,
    }


def _resident() -> int:
    return int(_read("/proc/self/statm").split()[1]) * resource.getpagesize()


def _become(order: dict[str, Any], supervisor: int) -> NoReturn:
    """Turn this forked process into the command. What fails is told on its output, like a shell does."""
    try:
        os.setsid()  # its own group: `kill 0` does not reach us
        os.chdir(order["workdir"])
        for name, (soft, hard) in order["limits"].items():
            _limit(getattr(resource, f"RLIMIT_{name}"), soft, hard)
        _volunteer()
        if "netns" in order["layers"] and not order["wrapper"]:
            _cut_network()
        if order["user"] is not None:
            os.setgroups([])
            os.setgid(order["user"])
            os.setuid(order["user"])
        if "no_new_privs" in order["layers"]:
            _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        if "seccomp" in order["layers"]:
            _filter(bytes.fromhex(order["filter"]))
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # after setuid, which clears it
        if os.getppid() != supervisor:
            os._exit(CANNOT_EXECUTE)
        os.umask(0o077)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)  # Python ignores some, nohup others, and ignoring is inherited
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if order["wrapper"]:
            _check_program(order["argv"][0])
        argv = [*order["wrapper"], *order["argv"]]
        os.execve(argv[0], argv, order["environment"])  # noqa: S606 (no shell is the point)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        name = os.path.basename(order["argv"][0])  # the tenant reads this: no paths of the host
        os.write(2, f"headgate: cannot start {name}: {reason}\n".encode(errors="replace"))
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_EXECUTE)


def _volunteer() -> None:
    """Should the machine run out of memory, the kernel takes the command before the worker and everybody else's."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:  # no such thing in this kernel: then it has its own idea of who goes first
        return


def _cut_network() -> None:
    """A network namespace with nothing in it, not even a loopback that is up. Needs root."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET | _CLONE_NEWIPC) != 0:
        raise OSError(ctypes.get_errno(), "a network namespace was refused")


def _check_program(path: str) -> None:
    """Bubblewrap does not tell its own failures from the command's, so what can be known before is asked before."""
    os.stat(path)
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if os.access(path, os.R_OK):
        with open(path, "rb") as program:
            start = program.read(4)
        if start != b"\x7fELF" and start[:2] != b"#!":  # it would be given to a shell, as nobody asked for
            raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))


def _limit(which: int, soft: int, hard: int) -> None:
    """Lower a limit; what is already lower stays."""
    ceiling = resource.getrlimit(which)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(which, (soft, hard))


class _Program(ctypes.Structure):
    """What the kernel takes a filter in (struct sock_fprog)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _filter(instructions: bytes) -> None:
    """Have the kernel ask this filter (see `seccomp.py`) at each system call from now on, of all that come after too."""
    program = _Program(len(instructions) // 8, instructions)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _prctl(option: int, value: int, more: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(more), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} was refused")


if __name__ == "__main__":
    main()
