"""How much memory a new process could have: the machine's, or the container's if that is less."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.outbound.host import HostMemory

MIB = 1024 * 1024


def host(tmp_path: Path, files: dict[str, str], available: str | None = "MemAvailable:    2048 kB\n") -> HostMemory:
    if available is not None:
        (tmp_path / "meminfo").write_text(f"MemTotal:       4096 kB\n{available}")
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return HostMemory(tmp_path, tmp_path / "cgroup")


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 2 * MIB),
        ({"memory.max": "max\n", "memory.current": "5\n"}, 2 * MIB),
        ({"memory.max": f"{3 * MIB}\n", "memory.current": f"{2 * MIB}\n"}, MIB),
        ({"memory.max": f"{2 * MIB}", "memory.current": f"{2 * MIB}", "memory.stat": "anon 5\ninactive_file 77\n"}, 77),
        ({"memory.max": "10", "memory.current": "30"}, 0),
        ({"memory/memory.limit_in_bytes": "100", "memory/memory.usage_in_bytes": "40"}, 60),
    ],
)
def test_the_lesser_of_machine_and_container(tmp_path: Path, files: dict[str, str], free: int) -> None:
    assert host(tmp_path, files).free_memory() == free


def test_a_kernel_that_tells_nothing(tmp_path: Path) -> None:
    assert host(tmp_path, {}, available=None).free_memory() is None


@pytest.mark.linux
def test_this_machine_has_some() -> None:
    free = HostMemory().free_memory()
    assert free is not None
    assert free > MIB
