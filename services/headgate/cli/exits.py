"""How a command ends: the exit codes, and the failure that carries one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType


class Exit(IntEnum):
    """What the shell sees."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    DENIED = 4
    INTERRUPTED = 130


MEANINGS: Mapping[Exit, str] = MappingProxyType(
    {
        Exit.OK: "it worked; of submit --wait and run watch: the run completed",
        Exit.FAILED: "the run did not complete, or the server refused (limit, pause, full line): reason and receipt are said",
        Exit.USAGE: "wrong usage, a wrong setting or policy, or a request that can never be accepted as it stands",
        Exit.UNREACHABLE: "the server (or a proof's store) cannot be reached",
        Exit.DENIED: "not authenticated, not allowed, or there is no such thing",
        Exit.INTERRUPTED: "interrupted (Ctrl-C)",
    }
)


class Failure(Exception):
    """Ends the command: `lines` for people (the first one is the fact), `document` for --json."""

    def __init__(self, exit: Exit, *lines: str, document: Mapping[str, object] | None = None) -> None:
        super().__init__(lines[0])
        self.exit = exit
        self.lines: Sequence[str] = lines
        self.document: Mapping[str, object] = document or {"error": lines[0], "detail": " ".join(lines[1:]) or None}
