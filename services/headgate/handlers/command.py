"""The kind `command`: one of the operator's commands in a tamed child process, never a shell line.

What a tenant sends is a *name*; what runs is the argv that the operator wrote for it, plus arguments where allowed.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from headgate.core.errors import Code
from headgate.handlers.desk import desk
from headgate.handlers.interface import CommandSpec, Done, Failed, HandlerConfig, InvalidInput, Job
from headgate.handlers.process import ChildEnd, run_child, stopped

COMMAND_PATH = "/usr/local/bin:/usr/bin:/bin"
MAX_ARGS, MAX_ARG_LENGTH = 64, 4096

_DEFAULTS = ("echo", "sleep", "true", "false")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SHAPE = 'it must look like {"argv": ["/usr/bin/python3", "/opt/report.py"], "args": true}'


def default_commands() -> dict[str, CommandSpec]:
    """The harmless list of embedded mode: those of echo, sleep, true and false that this host has."""
    found = {name: shutil.which(name, path=COMMAND_PATH) for name in _DEFAULTS}
    return {name: CommandSpec(argv=(path,)) for name, path in found.items() if path}


def load_commands(path: Path) -> dict[str, CommandSpec]:
    """The operator's list from its JSON file. Raises ValueError that names the file, the key and the remedy."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}): name a readable JSON file") from error
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON ({error}): mend it there") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: must be an object of commands, each a name and what it runs: {_SHAPE}")
    return {name: _spec(f"{path}: {name!r}", name, value) for name, value in document.items()}


def _spec(where: str, name: str, value: object) -> CommandSpec:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{where}: is no name for a command: use letters, digits, '.', '_' and '-', at most 64")
    if not isinstance(value, dict) or not value.keys() <= {"argv", "args"}:
        raise ValueError(f"{where}: {_SHAPE}, with nothing else")
    argv, args = value.get("argv"), value.get("args", True)
    if not isinstance(argv, list) or not argv or not all(isinstance(part, str) and "\0" not in part for part in argv):
        raise ValueError(f"{where}: 'argv' must be a list of strings, at least the program: {_SHAPE}")
    if not Path(argv[0]).is_absolute() or not Path(argv[0]).is_file():
        raise ValueError(f"{where}: 'argv' starts with {argv[0]!r}: give the absolute path of a program on this host")
    if not isinstance(args, bool):
        raise ValueError(f"{where}: 'args' must be true (a run may add arguments) or false")
    return CommandSpec(argv=tuple(argv), args=args)


class CommandHandler:
    """Runs an allowed command. Input `{"command": "sleep", "args": ["2"]}`.

    Result: `{exitCode, output (its last part), outputBytes, truncated}`; a signal's exit code is 128 + its number.
    """

    kind = "command"

    def __init__(self, config: HandlerConfig) -> None:
        self._commands = config.commands
        self._tail_bytes = config.output_tail_bytes
        self._hidden = config.hidden

    def check(self, input: Mapping[str, object]) -> None:
        """Refuse what is not on the list, and arguments where they are not allowed or too many."""
        self._argv(input)

    def run(self, job: Job) -> Done | Failed:
        """Run it once; an exit code other than 0 fails the run and is not tried again."""
        try:
            argv = self._argv(job.input)  # again: the list may have become shorter since the submission
        except InvalidInput as error:
            return Failed(code=Code.HANDLER_ERROR, message=str(error))
        with desk(job.workdir) as place:
            end = run_child(
                argv,
                workdir=place.folder,
                user=place.user,
                shown=self._commands[str(job.input["command"])].argv,
                hidden=self._hidden,
                environment={"PATH": COMMAND_PATH, "LANG": "C.UTF-8", "HOME": str(place.folder), **job.environment},
                limits=job.limits,
                cancelled=job.cancelled,
                on_output=job.log,
                tail_bytes=self._tail_bytes,
            )
        return _outcome(end, job)

    def _argv(self, input: Mapping[str, object]) -> tuple[str, ...]:
        for unknown in sorted(input.keys() - {"command", "args"}):
            raise InvalidInput(unknown, "is unknown: a command takes `command` and `args`")
        name = input.get("command")
        spec = self._commands.get(name) if isinstance(name, str) else None
        if spec is None:
            known = ", ".join(sorted(self._commands)) or "(none)"
            raise InvalidInput("command", f"must be the name of an allowed command: {known}")
        args = _arguments(input.get("args", []))
        if args and not spec.args:
            raise InvalidInput("args", f"are not allowed for {name}: leave them out")
        return (*spec.argv, *args)


def _arguments(args: object) -> list[str]:
    if not isinstance(args, list) or len(args) > MAX_ARGS:
        raise InvalidInput("args", f"must be a list of at most {MAX_ARGS} strings")
    for index, arg in enumerate(args):
        if not isinstance(arg, str) or len(arg) > MAX_ARG_LENGTH or "\0" in arg or not _is_text(arg):
            raise InvalidInput(f"args[{index}]", f"must be a string of at most {MAX_ARG_LENGTH} characters without NUL")
    return args


def _is_text(arg: str) -> bool:
    """Half a surrogate pair is a string to JSON and no text to anybody else."""
    return not any("\ud800" <= character <= "\udfff" for character in arg)


def _outcome(end: ChildEnd, job: Job) -> Done | Failed:
    result = {
        "exitCode": 128 + end.signal if end.signal else end.exit_code,
        "output": end.tail.decode("utf-8", errors="replace"),
        "outputBytes": end.output_bytes,
        "truncated": end.truncated,
    }
    if failed := stopped(end, job.limits, result):
        return failed
    if end.exit_code == 0:
        return Done(result, end.usage, end.layers)
    ending = (
        f"was ended by signal {end.signal} ({signal.strsignal(end.signal)})"
        if end.signal
        else f"exited with {end.exit_code}"
    )
    message = f"The command {ending}."
    return Failed(code=Code.EXIT_NONZERO, message=message, result=result, usage=end.usage, sandbox=end.layers)
