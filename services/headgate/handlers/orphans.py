"""Bubblewrap's inner process, when everybody above it was killed while it was being set up.

It dies with its parent only once it has asked the kernel for that. Killed before, the parent leaves it waiting for ever
for a word from it: it has started nothing, and nobody is its supervisor any more. It is known by its command line.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def end_orphans(folder: Path) -> int:
    """Kill every bubblewrap that was made for `folder` or one in it, whose run must be over; how many were found."""
    found = list(_wrappers(os.fsencode(folder)))
    for pid in found:
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # it has ended; or it is another user's, so not ours
            os.kill(pid, signal.SIGKILL)
    return len(found)


def _wrappers(folder: bytes) -> Iterator[int]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            program, *arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if os.path.basename(program) == b"bwrap" and any(
            argument == folder or argument.startswith(folder + b"/") for argument in arguments
        ):
            yield int(name)
