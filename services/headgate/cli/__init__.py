"""The command line: `headgate`. Here every way a command can end becomes its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from headgate.cli import output
from headgate.cli.app import headgate
from headgate.cli.exits import Exit, Failure
from headgate.cli.session import Session
from headgate.core.errors import Unavailable
from headgate.policy_file import PolicyError
from headgate.settings import SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (of sys.argv unless given); the exit code, see exits.py."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a character that the terminal does not have is no reason to fail
    session = Session()
    try:
        # What a command returns is its exit code: `up` gives the server's, the others end with None.
        code = headgate.main(arguments, prog_name="headgate", obj=session, standalone_mode=False)
        return code if isinstance(code, int) else Exit.OK
    except click.Abort:
        return Exit.INTERRUPTED
    except Failure as failed:
        return _end(failed, session)
    except click.ClickException as wrong:
        return _end(_usage(wrong), session)
    except (SettingsError, PolicyError) as wrong:
        return _end(Failure(Exit.USAGE, *wrong.problems), session)
    except Unavailable as away:  # proofs and benchmarks speak to their store themselves
        return _end(Failure(Exit.UNREACHABLE, away.detail), session)


def _usage(wrong: click.ClickException) -> Failure:
    context = getattr(wrong, "ctx", None)
    remedy = [f"Try: {context.command_path} --help"] if context else []
    return Failure(Exit.USAGE, wrong.format_message(), *remedy)


def _end(failed: Failure, session: Session) -> int:
    output.failure(failed, session.as_json)
    return failed.exit
