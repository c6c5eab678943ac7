"""A user of its own for every live run: no run can signal, trace or read another, and limits per user hold.

A claim is a bound socket in the abstract namespace: every process of the host sees it, the kernel takes it back when
its last holder is gone, and no file stays behind. The supervisor holds it too: should the worker die, the user stays
taken until the last process of the run is dead.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

FIRST, COUNT = 200_000, 65_536
"""The range is nobody's: ordinary systems end at 65535, and containers that map users begin at 100000 or 524288."""

_turn = itertools.count(os.getpid() * 257)
"""Where the next search begins. Always further on, so that a user is not soon used again."""


@dataclass(frozen=True, slots=True)
class RunUser:
    """A user that nobody else has: `uid` (and the group of the same number), and the descriptor that keeps it."""

    uid: int
    claim: int


@contextmanager
def run_user() -> Iterator[RunUser]:
    """Claim a user. Raises OSError when none of the range is free, or there are no abstract sockets here."""
    number, claim = _claim()
    with claim:
        yield RunUser(number, claim.fileno())


def _claim() -> tuple[int, socket.socket]:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for turn in itertools.islice(_turn, COUNT):
        number = FIRST + turn % COUNT
        try:
            claim.bind(f"\0headgate-run-user-{number}")
        except OSError:  # taken, by whichever process of this host
            continue
        return number, claim
    claim.close()
    raise OSError("every user of the range for runs is taken on this host")
