"""What a tree of processes uses right now, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


def memory_bytes(pids: Sequence[int]) -> int:
    """Memory of these processes together; what several share is counted once (PSS)."""
    return sum(map(_proportional, pids))


def cpu_seconds(supervisor: int, pids: Sequence[int]) -> float:
    """CPU time of these processes and of their dead children; of the supervisor only its dead children count."""
    ticks = sum(sum(_times(pid)) for pid in pids) + sum(_times(supervisor)[2:])
    return ticks / _TICK


def _proportional(pid: int) -> int:
    """PSS where the kernel tells it, else resident size; 0 for a process that has ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not ours to look at (a set-uid program), no such file in this kernel, or gone
        return _resident(pid)
    return 0


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
