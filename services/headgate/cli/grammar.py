"""click commands with a part of their own in the help: examples, and at the top the exit codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from headgate.cli.exits import Exit


class Command(click.Command):
    """A command with examples."""

    def __init__(self, *args: Any, examples: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as they are typed."""
        write_examples(formatter, self.examples)


class Group(click.Group):
    """A group of commands with examples; `exit_codes` are told where they are given."""

    command_class = Command

    def __init__(
        self, *args: Any, examples: Sequence[str], exit_codes: Mapping[Exit, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.exit_codes = exit_codes

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, then the exit codes."""
        write_examples(formatter, self.examples)
        if self.exit_codes:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(int(code)), meaning) for code, meaning in self.exit_codes.items()])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are wanted, not of the alphabet."""
        return list(self.commands)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """One a line, never wrapped: they are there to be copied."""
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"{'':{formatter.current_indent}}{example}\n")
