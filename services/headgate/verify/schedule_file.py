"""Schedule files: JSON, read part by part. What is wrong is said with the part's own name: `races[1].callers[3].after`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from headgate.core.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a schedule file. Every method raises InvalidRequest if it is not what is asked for."""

    file: Path
    name: str
    value: Any

    def fields(self, *known: str, optional: Sequence[str] = ()) -> Mapping[str, Part]:
        """An object with all the known fields; those that are optional may be absent."""
        names = ", ".join((*known, *optional))
        if not isinstance(self.value, dict):
            self.wrong(f"must be an object of {names}")
        below = {name: Part(self.file, f"{self.name}.{name}".lstrip("."), value) for name, value in self.value.items()}
        for name, part in below.items():
            if name not in (*known, *optional):
                part.wrong(f"is unknown; here may stand {names}")
        for name in known:
            if name not in below:
                Part(self.file, f"{self.name}.{name}".lstrip("."), None).wrong("is missing")
        return below

    def list(self, least: int = 0) -> list[Part]:
        """A list of at least so many parts."""
        if not isinstance(self.value, list) or len(self.value) < least:
            self.wrong(f"must be a list{f' of at least {least}' * bool(least)}")
        return [Part(self.file, f"{self.name}[{number}]", value) for number, value in enumerate(self.value)]

    def whole(self, least: int, most: int = 2**53) -> int:
        """A whole number between the two, both included."""
        if type(self.value) is not int or not least <= self.value <= most:
            self.wrong(f"must be a whole number from {least} to {most}")
        number: int = self.value
        return number

    def number(self, least: float, below: float) -> float:
        """A number from `least` on and below the other."""
        if type(self.value) not in (int, float) or not least <= self.value < below:
            self.wrong(f"must be a number from {least:g} on and below {below:g}")
        return float(self.value)

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            self.wrong("must be a text")
        return self.value

    def one_of(self, *words: str) -> str:
        """One of the words."""
        if not isinstance(self.value, str) or self.value not in words:
            self.wrong(f"must be one of {', '.join(words)}")
        return self.value

    def wrong(self, what: str) -> NoReturn:
        """Say what is wrong with it. Raises InvalidRequest."""
        shown = "" if self.value is None else f", not {json.dumps(self.value, default=str)[:60]}"
        raise InvalidRequest(f"{self.file}: {self.name or 'the whole'} {what}{shown}.", field=self.name or "schedule")


def read(file: Path) -> Part:
    """The whole of a file. Raises InvalidRequest."""
    try:
        return Part(file, "", json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:  # the last: brackets by the thousand
        raise InvalidRequest(f"{file} cannot be read as JSON: {error}.", field="schedule") from error


def write(file: Path, value: Mapping[str, object]) -> None:
    """Write a schedule, so that it can be repeated. Raises InvalidRequest."""
    try:
        file.write_text(json.dumps(value) + "\n", "utf-8")
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}.", field="schedule") from error
