"""docs/cli.md, made from the help texts.

python -m headgate.cli.page docs/cli.md    # writes it
python -m headgate.cli.page                # prints it
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from headgate.cli.app import headgate

WIDTH = 100
_HEAD = """\
# The command line

<!-- Made by `python -m headgate.cli.page docs/cli.md`. Change the help texts in the code, not this. -->

The commands print tables for people; `--json` gives scripts one JSON document (for lists in the API's shape, for streams
JSON lines). Results go to standard output, progress and errors to standard error. When a command fails, `--json` prints
the error as the document: `jq .code` works on it.
"""


def page() -> str:
    """The page, as Markdown."""
    sections = (f"## {path}\n\n```text\n{text}\n```\n" for path, text in help_texts())
    return "\n".join((_HEAD, *sections))


def help_texts() -> Iterator[tuple[str, str]]:
    """Every command with its help, the way it is typed: `headgate run show`."""
    yield from _help("headgate", headgate, None)


def _help(name: str, command: click.Command, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, parent, name, terminal_width=WIDTH, help_option_names=["-h", "--help"])
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _help(inner, command.commands[inner], context)


def main(arguments: list[str]) -> None:
    """Write the page to the file named in `arguments`, or print it. Raises OSError when it cannot be written."""
    if arguments:
        Path(arguments[0]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main(sys.argv[1:])
