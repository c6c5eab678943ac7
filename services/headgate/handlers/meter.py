"""What a tree of processes uses right now, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


_PLACES = ("tmp", "dev/shm")
"""Where a child's own file systems in memory are, if it has such."""


def memory_bytes(pids: Sequence[int]) -> int:
    """Memory of these processes together; what several share is counted once (PSS).

    Files in memory (their private /tmp, memfd) count too, mapped or not; what is both mapped and such a file, once.
    """
    shares = [_proportional(pid) for pid in pids]
    files = _private_tmpfs(pids) + _memory_files(pids)
    return sum(private for private, _ in shares) + max(files, sum(shared for _, shared in shares))


def cpu_seconds(supervisor: int, pids: Sequence[int]) -> float:
    """CPU time of these processes and of their dead children; of the supervisor only its dead children count."""
    ticks = sum(sum(_times(pid)) for pid in pids) + sum(_times(supervisor)[2:])
    return ticks / _TICK


def _proportional(pid: int) -> tuple[int, int]:
    """PSS where the kernel tells it, else resident size; apart from it, what of it is shared memory or such a file."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except OSError:  # not ours to look at (a set-uid program), no such file in this kernel, or gone
        return _resident(pid), 0
    found = {line[0]: int(line[1]) * 1024 for line in map(str.split, text.splitlines()) if line[0].startswith("Pss")}
    shared = found.get("Pss_Shmem:", 0)
    return found.get("Pss:", 0) - shared, shared


def _private_tmpfs(pids: Sequence[int]) -> int:
    """What lies in the file systems in memory that these processes have and we have not."""
    ours = {_device(f"/{place}") for place in _PLACES}
    used: dict[int | None, int] = {}
    for path in (os.path.join(f"/proc/{pid}/root", place) for pid in pids for place in _PLACES):
        device = _device(path)
        if device not in ours and device not in used:
            used[device] = _used(path)
    return sum(used.values())


def _device(path: str) -> int | None:
    try:
        return os.stat(path).st_dev
    except OSError:  # not there, not ours to look at, or its process has ended
        return None


def _used(path: str) -> int:
    try:
        found = os.statvfs(path)
    except OSError:  # its process has ended since
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _memory_files(pids: Sequence[int]) -> int:
    """Files without a name (memfd) that these processes have open."""
    sizes: dict[int, int] = {}
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        for name in _names(folder):
            try:
                if os.readlink(f"{folder}/{name}").startswith("/memfd:"):
                    file = os.stat(f"{folder}/{name}")
                    sizes[file.st_ino] = file.st_blocks * 512
            except OSError:  # closed since
                continue
    return sum(sizes.values())


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # not ours to look at, or its process has ended
        return []


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE
    except OSError:  # it has ended: it uses nothing
        return 0


def _times(pid: int) -> tuple[int, ...]:
    """User and system ticks of the process, then of its dead children."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:  # it has ended: what it used now counts as its parent's dead child
        return (0, 0, 0, 0)
    return tuple(map(int, stat.rpartition(")")[2].split()[11:15]))
