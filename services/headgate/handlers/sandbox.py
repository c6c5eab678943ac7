"""The layers around a child: which of them this machine has, and how bubblewrap is told to build its part.

    uid          a user of its own per run; its processes are counted, which root's and a shared user's cannot be
    bubblewrap   own process, mount and IPC namespaces: a read-only root, a private /tmp, nobody else to be seen
    netns        no network, unless the step needs it (from bubblewrap where that is, else made by the supervisor)
    seccomp      no files in memory without a name: sent through a socket, they would be counted nowhere
    no_new_privs no set-uid program gains anything
    rlimits      CPU seconds, data, file size, open files, core dumps; with `uid` also processes
    subreaper    every descendant stays below the supervisor, whatever it does
    tree_kill    the supervisor ends all of them

What is there is found out by starting a real child once in a process. Some places have neither user namespaces nor
root (Cloud Run promises neither): there the last five remain, and `/readyz` and the run's events say so.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from headgate.handlers import seccomp, stub
from headgate.handlers.users import run_user

ALWAYS = ("no_new_privs", "rlimits", "subreaper", "tree_kill")
LAYERS = ("uid", "bubblewrap", "netns", "seccomp", *ALWAYS)
"""All, in the order in which they are shown."""

_PLACES = "/usr/local/bin:/usr/bin:/bin"
_PROBE_SECONDS = 10.0
_OF_ROOT = (("uid", "bubblewrap", "netns"), ("uid", "netns"), ("uid",), ("netns",))
_OF_OTHERS = (("bubblewrap", "netns"),)
"""What depends on the machine, best first: the first that starts is taken."""


@functools.cache
def active_layers() -> tuple[str, ...]:
    """The layers of a child without network on this machine. The first call starts some children, others are free."""
    candidates = _OF_ROOT if os.geteuid() == 0 else _OF_OTHERS
    chosen = next(filter(_starts, candidates), ())
    filtered = (*chosen, "seccomp")
    return ordered({*(filtered if seccomp.program() and _starts(filtered) else chosen), *ALWAYS})


def known_layers() -> tuple[str, ...]:
    """The same without waiting: none in a process that has not asked yet, as only one that executes runs does."""
    return active_layers() if active_layers.cache_info().currsize else ()


def ordered(layers: Collection[str]) -> tuple[str, ...]:
    """These layers in the order in which they are shown."""
    return tuple(layer for layer in LAYERS if layer in layers)


def _starts(layers: Sequence[str]) -> bool:
    """Whether a child with these layers really runs here, started as every child is."""
    with tempfile.TemporaryDirectory(prefix="headgate-probe-") as folder, ExitStack() as stack:
        uid = stub.NOBODY if os.geteuid() == 0 else None
        try:
            if "uid" in layers:
                uid = stack.enter_context(run_user()).uid
            if uid is not None:
                os.chown(folder, uid, uid)
        except OSError:  # no users to give: root of a container that has no others
            return False
        order: dict[str, object] = {
            "argv": [shutil.which("true", path=_PLACES)],
            "workdir": folder,
            "environment": {},
            "user": uid,
            "layers": [*layers, *ALWAYS],
            "filter": seccomp.program().hex(),
            "wrapper": wrapper(Path(folder), layers, tmpfs_bytes=2**20),
            "limits": {},
            "worker": os.getpid(),
            "report": 1,
        }
        return _exits_well(order)


def _exits_well(order: dict[str, object]) -> bool:
    try:
        done = subprocess.run(  # noqa: PLW1510 (what it says of its end is in the report)
            [sys.executable, "-I", "-S", stub.__file__],
            input=json.dumps(order).encode(),
            capture_output=True,
            timeout=_PROBE_SECONDS,
            env={name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"},
        )
        return bool(json.loads(done.stdout)["exit"] == 0)
    except (
        subprocess.TimeoutExpired,
        ValueError,
    ):  # it hung, or the report stands among its complaints: it does not work
        return False


def _bubblewrap() -> str | None:
    return shutil.which("bwrap", path=_PLACES)


def wrapper(
    workdir: Path,
    layers: Collection[str],
    tmpfs_bytes: int,
    shown: Sequence[str] = (),
    hidden: Sequence[Path] = (),
) -> list[str]:
    """The command line of bubblewrap before the command's own; empty without that layer.

    The whole root is there to read, as far as the run's user may, so that interpreters work wherever they lie. To write
    there are the workdir, /tmp and /dev/shm, the last two in memory and at most `tmpfs_bytes` each. Programs below /tmp
    are out of sight unless `shown`. `hidden` folders are empty: a worker that is not root shares its user with the run.
    Of those, one that the run's user could not get to anyway is left alone: neither could bubblewrap.
    """
    if "bubblewrap" not in layers:
        return []
    empty = [str(folder) for folder in hidden if folder.is_dir() and ("uid" not in layers or open_to_all(folder))]
    return [
        _bubblewrap() or "bwrap",
        *("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
        *(("--unshare-net",) if "netns" in layers else ()),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--ro-bind", "/", "/", "--dev", "/dev", "--remount-ro", "/dev", "--proc", "/proc"),
        *("--size", str(tmpfs_bytes), "--tmpfs", "/dev/shm"),  # noqa: S108 (made new for this child)
        *("--size", str(tmpfs_bytes), "--tmpfs", "/tmp"),  # noqa: S108 (made new for this child)
        *(part for folder in empty for part in ("--size", "65536", "--tmpfs", folder)),
        *(part for path in _below_tmp(shown) for part in ("--ro-bind-try", path, path)),
        *("--bind", str(workdir), str(workdir), "--chdir", str(workdir), "--"),
    ]


def open_to_all(folder: Path) -> bool:
    """Whether every user has a way to it (what is in it may be closed)."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in folder.resolve().parents)


def _below_tmp(paths: Sequence[str]) -> list[str]:
    """What must be shown of /tmp so that these can be used: the top folder, for a program needs what lies around it."""
    parts = [Path(path).parts for path in paths]
    return sorted({str(Path(*part[:3])) for part in parts if part[:2] == ("/", "tmp") and len(part) > 2})
