"""What the options of `submit` mean: each text as the value that goes into the request. All raise click.BadParameter."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from headgate.policy_file.values import Value, cores, seconds, size

T = TypeVar("T")


def quantity(value: Value) -> Callable[[click.Context, click.Parameter, str | None], object]:
    """The callback of an option that takes what a policy file takes there: `512MB`, `5m`, `0.5`."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> object:
        try:
            return None if text is None else value.read(_number(text))
        except ValueError as error:
            raise click.BadParameter(f"{text!r}: give {value.says}.") from error

    return read


memory, duration, cpu = quantity(size()), quantity(seconds()), quantity(cores())


def _number(text: str) -> object:
    """As YAML would take it: a number where it is one."""
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def read_input(text: str | None) -> dict[str, Any]:
    """--input: JSON, `@file`, or `-` for standard input. It must be an object."""
    if text is None:
        return {}
    try:
        found = json.loads(_source(text))
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"this is not JSON: {error}.", param_hint="--input") from error
    except OSError as error:
        raise click.BadParameter(f"{text.removeprefix('@')}: {error.strerror}.", param_hint="--input") from error
    if not isinstance(found, dict):
        raise click.BadParameter('give a JSON object, as {"command": "echo"}.', param_hint="--input")
    return found


def _source(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    return Path(text[1:]).read_text("utf-8") if text.startswith("@") else text


def read_arguments(pairs: Sequence[str]) -> dict[str, Any]:
    """--arg: `key=text`, or `key:=JSON`."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, text = _pair(pair, "--arg")
        found[key.removesuffix(":")] = _parsed(pair, text) if key.endswith(":") else text
    return found


def read_labels(pairs: Sequence[str]) -> dict[str, str]:
    """--label: `key=value`."""
    return dict(_pair(pair, "--label") for pair in pairs)


def _pair(pair: str, option: str) -> tuple[str, str]:
    key, equals, text = pair.partition("=")
    if not equals or not key.removesuffix(":"):
        raise click.BadParameter(f"{pair!r}: give key=value.", param_hint=option)
    return key, text


def _parsed(pair: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{pair!r}: what follows := is not JSON: {error}.", param_hint="--arg") from error


def read_priority(text: str | None) -> int | str | None:
    """--priority: a number as a number; the server knows which words there are."""
    return int(text) if text and text.isdecimal() else text


def read_time(text: str | None, now_ms: int, option: str) -> str | None:
    """--not-before, --start-by: RFC 3339, or `+10m` from now."""
    if text is None:
        return None
    try:
        return _later(text[1:], now_ms) if text.startswith("+") else _with_zone(text)
    except (ValueError, OverflowError) as error:
        says = "a time as 2030-01-31T08:00:00Z, or +10m from now"
        raise click.BadParameter(f"{text!r}: give {says}.", param_hint=option) from error


def read_since(text: str, now_ms: int) -> str:
    """--since: `24h` before now, or RFC 3339."""
    try:
        return _with_zone(text) if "t" in text.lower() else _back(text, now_ms)
    except (ValueError, OverflowError) as error:
        says = "24h, or a time as 2030-01-31T08:00:00Z"
        raise click.BadParameter(f"{text!r}: give {says}.", param_hint="--since") from error


def _back(duration: str, now_ms: int) -> str:
    ago = seconds().read(_number(duration))
    assert isinstance(ago, float)
    return _wire(datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(seconds=ago))


def _later(duration: str, now_ms: int) -> str:
    wait = seconds().read(_number(duration))
    assert isinstance(wait, float)
    return _wire(datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(seconds=wait))


def _with_zone(text: str) -> str:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return _wire(at)


def _wire(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
