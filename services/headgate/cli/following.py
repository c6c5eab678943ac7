"""Staying with a run until it ends: its events as they come, and on a terminal where it stands in line meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from headgate.cli import output
from headgate.cli.client import Client
from headgate.cli.events import Event, Sleeping, follow
from headgate.cli.exits import Exit, Failure
from headgate.cli.words import Run, standing

LOOK_SECONDS = 2.0
"""How often a terminal's line is brought up to date: positions change without an event of the run itself."""


def until_end(client: Client, run_id: str, timing: Sleeping, on_event: Callable[[Event], None]) -> Run:
    """Give every event to `on_event`; the finished run. Raises Failure as `follow` does."""
    with output.Progress() as progress, _looking(client, run_id, progress):
        for event in follow(client, run_id, timing):
            on_event(event)
    run: dict[str, Any] = client.get(client.path("runs", run_id))
    return run


def must_be_completed(run: Run) -> None:
    """Raises Failure, with the run as its document, unless the run completed."""
    if run["state"] != "completed":
        raise Failure(Exit.FAILED, f"run {run['runId']} {standing(run)}", document=run)


@contextmanager
def _looking(client: Client, run_id: str, progress: output.Progress) -> Iterator[None]:
    """Bring the line up to date in a thread of its own, for the stream may be silent for long."""
    if not progress.live:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_look, args=(client, run_id, progress, stop), name="look", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=1)


def _look(client: Client, run_id: str, progress: output.Progress, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            progress.show(f"{run_id} {standing(client.get(client.path('runs', run_id)))}")
        except Failure as failed:
            progress.show(f"{run_id} {failed}")  # the stream decides when it is too much
        stop.wait(LOOK_SECONDS)
