"""The kind `command`: one of the operator's commands in a tamed child process, never a shell line.

What a tenant sends is a *name*; what runs is the argv that the operator wrote for it, plus arguments where allowed.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping

from headgate.core.errors import Code
from headgate.handlers.desk import desk
from headgate.handlers.interface import CommandSpec, Done, Failed, HandlerConfig, InvalidInput, Job
from headgate.handlers.process import ChildEnd, run_child, stopped

COMMAND_PATH = "/usr/local/bin:/usr/bin:/bin"
MAX_ARGS, MAX_ARG_LENGTH = 64, 4096

_DEFAULTS = ("echo", "sleep", "true", "false")


def default_commands() -> dict[str, CommandSpec]:
    """The harmless list of embedded mode: those of echo, sleep, true and false that this host has."""
    found = {name: shutil.which(name, path=COMMAND_PATH) for name in _DEFAULTS}
    return {name: CommandSpec(argv=(path,)) for name, path in found.items() if path}


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
