"""Where a child works: a folder that its user can really get to."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def desk(workdir: Path) -> Iterator[Path]:
    """A folder for `run_child`: `workdir`, or a temporary one while a folder above it is closed to the child's user.

    Only a worker that is root needs the second: its children are `nobody`, who has no way through e.g. /root (0700),
    and git insists on absolute paths. If the process dies here, the temporary folder stays until the host's cleaning.
    """
    if os.geteuid() != 0 or _open_to_all(workdir):
        yield workdir
        return
    with tempfile.TemporaryDirectory(prefix="headgate-desk-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _open_to_all(workdir: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in workdir.resolve().parents)
