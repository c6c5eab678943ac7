"""What a command prints: tables and sentences for people, JSON for scripts. Nothing a server says reaches a terminal raw.

Results go to standard output, progress and errors to standard error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from headgate.cli.exits import Failure

PIPE_WIDTH = 1000
"""Columns of a table that no terminal shows: wide enough that nothing is cut off."""

_ESCAPES = re.compile(
    r"""\x1b \[ [0-?]* [ -/]* [@-~]                     # CSI: colours, cursor
      | \x9b [0-?]* [ -/]* [@-~]                        # the same in one byte
      | (?: \x1b [\]PX^_] | [\x90\x98\x9d-\x9f] ) [^\x07\x1b\x9c]* (?: \x07 | \x1b\\ | \x9c )  # OSC, DCS …: titles, links
      | \x1b [ -/]* [0-~]                               # everything else
    """,
    re.VERBOSE,
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls but tab and newline; the marks that turn the direction of text; halves of characters."""

_STYLES: Mapping[str, str] = {
    "queued": "yellow",
    "pending": "cyan",
    "running": "blue",
    "completed": "green",
    "failed": "red",
    "timed_out": "red",
    "cancelled": "magenta",
    "expired": "magenta",
    "active": "green",
    "paused": "yellow",
    "suspended": "red",
    "deactivated": "red",
}


def clean(text: str) -> str:
    """The text without escape sequences and control characters; a lone carriage return becomes a new line."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def cell(value: object) -> str:
    """A value in one line of a table; nothing is shown for what is absent."""
    if value is None:
        return ""
    if isinstance(value, str):
        return " ".join(clean(value).split())
    if isinstance(value, float):
        return f"{value:g}"
    return clean(json.dumps(value, ensure_ascii=False)) if isinstance(value, Mapping | list) else str(value)


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under titles."""
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for title in titles:
        grid.add_column(title, overflow="fold")
    for row in rows:
        grid.add_row(*(_styled(value) for value in row))
    _console(sys.stdout).print(grid)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Name and value, a line each; absent values are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, "", [], {}):
            grid.add_row(cell(name), _styled(value))
    _console(sys.stdout).print(grid)


def say(text: str) -> None:
    """A line of result for people."""
    _write(sys.stdout, clean(text) + "\n")


def note(text: str) -> None:
    """A line beside the result: standard error, so that pipes stay clean."""
    _write(sys.stderr, clean(text) + "\n")


def raw(text: str) -> None:
    """A piece of a run's output, cleaned, without a new line of our own."""
    _write(sys.stdout, clean(text))


def document(value: object) -> None:
    """The one JSON document of a command; indented on a terminal."""
    _write(sys.stdout, json.dumps(value, indent=2 if sys.stdout.isatty() else None) + "\n")


def line(value: object) -> None:
    """One of the JSON lines of a stream."""
    _write(sys.stdout, json.dumps(value) + "\n")


def failure(failed: Failure, as_json: bool) -> None:
    """Why the command failed: sentences on standard error; with --json also the document on standard output."""
    if as_json:
        line(failed.document)
    first, *others = failed.lines
    note(f"headgate: {first}")
    for other in others:
        note(f"  {other}")


class Progress:
    """What is going on right now: one line that changes, on a terminal only. Used as `with Progress() as progress`."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._status = Status("…", console=_console(sys.stderr))
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def live(self) -> bool:
        """Whether anybody sees it."""
        return self._status is not None

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._status is not None:
            self._status.update(Text(cell(text)))


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def _styled(value: object) -> Text:
    text = cell(value)
    return Text(text, style=_STYLES.get(text, ""))


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
