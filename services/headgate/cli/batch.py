"""Many submissions from one file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from headgate.cli.client import Client

A_CALL = 100


def read_runs(name: str) -> list[dict[str, Any]]:
    """The runs of a file (`-` = standard input): a JSON list, `{"runs": […]}`, or a JSON object a line.

    Raises click.BadParameter.
    """
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{name}: {error}.", param_hint="--batch") from error
    runs = _parsed(name, text)
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        says = 'a JSON list of runs as [{"kind": "command", "input": {…}}], or one a line'
        raise click.BadParameter(f"{name}: give {says}.", param_hint="--batch")
    return runs


def submit_all(client: Client, runs: list[dict[str, Any]], new_key: Callable[[], str]) -> dict[str, Any]:
    """What each was answered. A run without a key of its own gets one, so that what got no answer can be sent again."""
    keyed = [{"idempotencyKey": new_key(), **run} for run in runs]
    items: list[Any] = []
    for start in range(0, len(keyed), A_CALL):
        items += client.post(client.path("runs:batch"), {"runs": keyed[start : start + A_CALL]})["items"]
    return {"items": items}


def row(number: int, item: Mapping[str, Any]) -> tuple[object, ...]:
    """Under `#, STATUS, RUN, and what is said`."""
    run, error = item.get("run") or {}, item.get("error") or {}
    said = run.get("state") or ": ".join(
        str(error[key]) for key in ("code", "detail", "reason", "message") if error.get(key)
    )
    return number, item["status"], run.get("runId"), said


def _parsed(name: str, text: str) -> object:
    try:
        try:
            found = json.loads(text)
        except ValueError:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{name} is not JSON: {error}.", param_hint="--batch") from error
    if isinstance(found, dict):
        return found.get("runs", [found])
    return found
