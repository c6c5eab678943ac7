"""What flows ask of the world around them: the host's memory, the broker's backlog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Host(Protocol):
    """The machine that runs start on."""

    def free_memory(self) -> int | None:
        """Bytes that a new process could use now; None = runs start elsewhere, or nobody knows."""


class AnyHost:
    """Runs start elsewhere: this machine's memory says nothing."""

    def free_memory(self) -> int | None:
        """See Host."""
        return None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the broker has not got rid of: messages, and the age of the oldest in seconds."""

    depth: int
    oldest_seconds: float


class Broker(Protocol):
    """What is known of the broker's own backlog."""

    def backlog(self) -> Backlog | None:
        """The backlog now; None = it cannot be read now. May take seconds."""
