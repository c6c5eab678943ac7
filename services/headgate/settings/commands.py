"""The file of HEADGATE_COMMANDS: which commands a `command` run may name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from headgate.handlers.command import COMMAND_PATH
from headgate.handlers.interface import CommandSpec
from headgate.settings.table import SettingsError

_FORM = '{"name": {"argv": ["/path/of/program", "argument"], "args": true}}'
_Word = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    argv: list[_Word] = Field(min_length=1)
    args: bool = False


_COMMANDS = TypeAdapter(dict[_Name, _Command])


def load_commands(text: str, source: str) -> Mapping[str, CommandSpec]:
    """The commands of a JSON text `{"name": {"argv": ["/path/of/program", …], "args": true}}`.

    `args` (default false): a run may add arguments. `source` is the file's name in messages.
    Raises SettingsError with every problem at once: source, key, value, remedy.
    """
    try:
        found = _COMMANDS.validate_python(json.loads(text, object_pairs_hook=_once))
    except ValidationError as error:
        raise SettingsError([_sentence(source, problem) for problem in error.errors()]) from error
    except ValueError as error:
        raise SettingsError([f"{source}: {error}; the form is {_FORM}"]) from error
    return {name: CommandSpec(argv=tuple(command.argv), args=command.args) for name, command in found.items()}


def runnable(commands: Mapping[str, CommandSpec], source: str) -> Mapping[str, CommandSpec]:
    """The commands with the full paths of their programs, found as a run would find them.

    Raises SettingsError for what is not there or may not be executed: better at the start than in every run.
    """
    found = {name: shutil.which(spec.argv[0], path=COMMAND_PATH) for name, spec in commands.items()}
    lost = [name for name, path in found.items() if path is None]
    if lost:
        remedy = f"no such program, or not executable; give its path, or a name in {COMMAND_PATH}"
        raise SettingsError(
            [f"{source}: {name}.argv = {json.dumps(commands[name].argv[0])}: {remedy}" for name in lost]
        )
    return {name: replace(spec, argv=(str(found[name]), *spec.argv[1:])) for name, spec in commands.items()}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice: keep one")
    return dict(pairs)


def _sentence(source: str, problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "the file"
    value = json.dumps(problem["input"], ensure_ascii=False)
    return f"{source}: {key} = {value[:60]}: {problem['msg']}; the form is {_FORM}"
