"""A place for proofs and benchmarks: a store of their own in a folder that goes with it, or a project of the emulator."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.cli.exits import Exit, Failure
from headgate.cli.session import current

if TYPE_CHECKING:
    from headgate.verify.ground import Ground


@contextmanager
def ground_of(store: str) -> Iterator[Ground]:
    """`store` is sqlite or firestore. Raises Failure when there is no emulator: nothing runs on a real database."""
    from headgate.verify.ground import Ground

    emulator = current().settings().firestore_emulator
    if store == "firestore" and emulator is None:
        remedy = "Start the Firestore emulator and set FIRESTORE_EMULATOR_HOST=host:port."
        raise Failure(Exit.USAGE, "no Firestore emulator is known: proofs do not run on a real database.", remedy)
    with tempfile.TemporaryDirectory(prefix="headgate-verify-") as folder:
        yield Ground(store="firestore" if store == "firestore" else "sqlite", emulator=emulator, folder=Path(folder))
