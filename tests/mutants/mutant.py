"""A mutant: one small deliberate bug in the source, of the kind that a reader does not see, and the suite that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Stale(Exception):
    """The code has moved on: the old text of a mutant does not stand in its file, or not once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`why`: how one comes to write it. `file` is below services/headgate; `old` stands there exactly once.

    `suite` is what must fail: arguments of pytest, or `verify …`, a proof of `headgate verify`.
    """

    name: str
    why: str
    file: str
    old: str
    new: str
    suite: str

    def path(self, tree: Path) -> Path:
        """The file it changes, in a copy of the repository."""
        return tree / "services" / "headgate" / self.file

    def applied(self, source: str) -> str:
        """The source with the bug in it. Raises Stale."""
        found = source.count(self.old)
        if found != 1 or self.old == self.new:
            raise Stale(f"{self.name}: its old text stands {found} times in {self.file}, not once: {self.old!r}")
        return source.replace(self.old, self.new)
