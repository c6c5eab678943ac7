"""Every command explains itself, with examples that it accepts; docs/cli.md is those texts."""

import shlex
from pathlib import Path

import click
import pytest

from headgate.cli.app import headgate
from headgate.cli.exits import MEANINGS, Exit
from headgate.cli.grammar import Command, Group
from headgate.cli.page import help_texts, main, page

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
WANTED = (
    "up",
    "submit",
    "runs",
    "run",
    "run show",
    "run log",
    "run cancel",
    "run retry",
    "run watch",
    "why",
    "cancel",
    "receipt",
    "tenants",
    "tenant",
    "tenant suspend",
    "tenant deactivate",
    "tenant activate",
    "pause",
    "resume",
    "pauses",
    "drain",
    "mode",
    "limits",
    "limits list",
    "limits set",
    "limits reset",
    "limits what-if",
    "dlq",
    "dlq list",
    "dlq show",
    "dlq replay",
    "dlq discard",
    "keys",
    "keys list",
    "keys issue",
    "keys revoke",
    "pressure",
    "bench",
    "forecast",
    "fairness",
    "policy",
    "policy show",
    "audit",
    "audit-log",
    "backup",
    "restore",
    "verify",
    "verify sim",
    "verify crash",
    "verify races",
    "verify deliveries",
)


def commands(group: click.Group, path: str = "headgate") -> dict[str, click.Command]:
    """Every command below, by the way it is typed."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[f"{path} {name}"] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{path} {name}")
    return found


COMMANDS = {"headgate": headgate, **commands(headgate)}


def test_the_commands_are_those_of_the_work_order():
    assert set(COMMANDS) == {"headgate"} | {f"headgate {path}" for path in WANTED}


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_examples(cli, path):
    result = cli(*path.split()[1:], "--help")
    assert result.code == 0
    assert f"  {path}" in result.out.partition("\nExamples:\n")[2]


@pytest.mark.parametrize(
    "example",
    [line for command in COMMANDS.values() if isinstance(command, Command | Group) for line in command.examples],
)
def test_examples_are_accepted(example):
    words = shlex.split(example.partition(" | ")[0], comments=True)
    context: click.Context | None = None
    command: click.Command = headgate
    assert words.pop(0) == "headgate"
    while isinstance(command, click.Group):
        context = command.make_context("", words, parent=context)
        _, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command = found
    assert command.make_context("", words, parent=context).params is not None


def test_the_exit_codes_are_told(cli):
    told = cli("--help").out.partition("Exit codes:")[2]
    assert all(f"\n  {int(code)} " in told for code in MEANINGS)
    assert set(MEANINGS) == set(Exit)


def test_the_page_is_up_to_date():
    assert DOCS.read_text("utf-8") == page(), "run: PYTHONPATH=services python -m headgate.cli.page docs/cli.md"


def test_the_page_has_every_command():
    assert {path for path, _ in help_texts()} == set(COMMANDS)
    assert all(f"\n## {path}\n" in page() for path in COMMANDS)


def test_the_page_is_written_or_printed(tmp_path, capsys):
    main([str(tmp_path / "page.md")])
    main([])
    assert (tmp_path / "page.md").read_text("utf-8") == capsys.readouterr().out == page()


def test_version(cli):
    result = cli("--version")
    assert (result.code, result.out.split()[0]) == (0, "headgate")
