"""Where a child works and who it is there: a folder that its user can really get to, for all steps of a run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from headgate.handlers.removal import temporary_folder
from headgate.handlers.sandbox import active_layers, open_to_all
from headgate.handlers.users import RunUser, run_user

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """The folder, and the run's user; None when the worker has no users to give."""

    folder: Path
    user: RunUser | None


@contextmanager
def desk(workdir: Path) -> Iterator[Desk]:
    """A desk for `run_child`: `workdir`, or a temporary folder while one above it is closed to the child's user.

    Only a worker that is root needs the second: its children are other users, who have no way through e.g. /root
    (0700), and git insists on absolute paths. If the process dies here, the temporary folder stays until the host's
    cleaning.
    """
    with ExitStack() as stack:
        user = stack.enter_context(run_user()) if "uid" in active_layers() else None
        if os.geteuid() != 0 or open_to_all(workdir):
            yield Desk(workdir, user)
            return
        yield Desk(stack.enter_context(temporary_folder("headgate-desk-", _left)), user)


def _left(folder: Path, error: OSError) -> None:
    _log.warning("a folder of a run could not be removed: %s: %s", folder, error)
