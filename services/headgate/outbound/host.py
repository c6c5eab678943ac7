"""The memory that this machine, or the container that we run in, has left."""

from __future__ import annotations

from pathlib import Path

_LIMITS = (
    ("memory.max", "memory.current"),  # cgroup v2
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),  # cgroup v1
)


class HostMemory:
    """Reads the kernel's figures anew each time; `proc` and `cgroup` are where they stand."""

    def __init__(self, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc, self._cgroup = proc, cgroup

    def free_memory(self) -> int | None:
        """Bytes that a new process could use: the machine's, or what is left of the container's limit if that is less.
        None where the kernel tells neither."""
        known = [free for free in (self._machine(), self._container()) if free is not None]
        return min(known, default=None)

    def _machine(self) -> int | None:
        text = _read(self._proc / "meminfo") or ""
        lines = [line.split() for line in text.splitlines() if line.startswith("MemAvailable:")]
        return int(lines[0][1]) * 1024 if lines else None

    def _container(self) -> int | None:
        for most, used in _LIMITS:
            cap, now = _number(self._cgroup / most), _number(self._cgroup / used)
            if cap is not None and now is not None:
                return max(0, cap - now + self._reclaimable((self._cgroup / used).parent))
        return None

    def _reclaimable(self, folder: Path) -> int:
        """File pages that the kernel gives up when memory is asked for: they count as used and are not."""
        text = _read(folder / "memory.stat") or ""
        pages = dict(line.split()[:2] for line in text.splitlines() if len(line.split()) == 2)
        return int(pages.get("inactive_file", 0))


def _number(path: Path) -> int | None:
    text = (_read(path) or "").strip()
    return int(text) if text.isdecimal() else None  # "max": no limit


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii")
    except OSError:  # another kernel, another kind of container
        return None
