"""headgate run show | log | cancel | retry | watch"""

from __future__ import annotations

import click

from headgate.cli import output
from headgate.cli.client import Client
from headgate.cli.events import Event, follow
from headgate.cli.following import must_be_completed, until_end
from headgate.cli.grammar import Group
from headgate.cli.session import current, tenant_option
from headgate.cli.words import run_facts, standing

LOG, QUEUED, PLACE = "run.log", "run.queued", "run.line"
RUN = "run_4mz0c9v1x7a2b3d5e6f8"


@click.group(cls=Group, examples=(f"headgate run show {RUN}", f"headgate run watch {RUN}"))
@tenant_option
def run() -> None:
    """One run: look at it, read its output, cancel it, retry it, watch it."""


@run.command(examples=(f"headgate run show {RUN}", f"headgate --json run show {RUN} | jq .state"))
@click.argument("run_id")
@tenant_option
def show(run_id: str) -> None:
    """Show everything about a run; of a queued one also its place in line and what it waits for."""
    session = current()
    with session.client() as client:
        found = client.get(client.path("runs", run_id))
    if session.as_json:
        output.document(found)
    else:
        output.facts(run_facts(found))


@run.command(examples=(f"headgate run log {RUN}", f"headgate run log --follow {RUN}"))
@click.argument("run_id")
@click.option("--follow", "-f", "stay", is_flag=True, help="Go on until the run ends.")
@tenant_option
def log(run_id: str, stay: bool) -> None:
    """Print what a run has written. Escape sequences and control characters are left out.

    With --json: JSON lines {"text": …} with the output as it is.
    """
    session = current()
    write = _json_text if session.as_json else output.raw
    with session.client() as client:
        if not stay:
            write(client.text(client.path("runs", run_id, "log")))
            return
        for event in follow(client, run_id, session.timing):
            if event.type == LOG:
                write(event.data["text"])


@run.command(examples=(f"headgate run cancel {RUN}", f"headgate run cancel {RUN} --tenant free-demo"))
@click.argument("run_id")
@tenant_option
def cancel(run_id: str) -> None:
    """Cancel a run in whatever state it is. One that has ended already stays as it is."""
    session = current()
    with session.client() as client:
        found = client.post(client.path("runs", run_id, "cancel"))
    if session.as_json:
        output.document(found)
    else:
        output.say(f"{found['runId']} {standing(found)}")


@run.command(examples=(f"headgate run retry {RUN}", f"headgate run retry {RUN} --on-limit queue"))
@click.argument("run_id")
@click.option("--on-limit", type=click.Choice(("reject", "queue")), help="What to do when a scope is full.")
@tenant_option
def retry(run_id: str, on_limit: str | None) -> None:
    """Ask again for what a run that has ended asked for: a new run. The same call twice gives the same new run."""
    session = current()
    with session.client() as client:
        found = client.post(client.path("runs", run_id, "retry"), {"onLimit": on_limit} if on_limit else None)
    if session.as_json:
        output.document(found)
    else:
        output.say(f"{found['runId']} {standing(found)}, a retry of {run_id}")


@run.command(examples=(f"headgate run watch {RUN}", f"headgate --json run watch {RUN} | jq .type"))
@click.argument("run_id")
@tenant_option
def watch(run_id: str) -> None:
    """Watch a run until it ends: a line for each event, on a terminal also its place in line as it changes.

    A lost connection is taken up where it broke. Exits 0 only if the run completed. With --json: a JSON line for each
    event.
    """
    session = current()
    with session.client() as client:
        on_event = _json_line if session.as_json else _Lines(client, run_id)
        ended = until_end(client, run_id, session.timing, on_event)
    must_be_completed(ended)


def _json_text(text: str) -> None:
    output.line({"text": text})


def _json_line(event: Event) -> None:
    if event.type != PLACE:  # told, not stored: scripts count on numbers that go on
        output.line({"id": event.id, "type": event.type, "data": event.data})


class _Lines:
    """A line for people for each event but the run's output and places in line, which a terminal shows as they change."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def __call__(self, event: Event) -> None:
        """Print it."""
        if event.type not in (LOG, PLACE):
            output.say(f"{str(event.data.get('at', ''))[11:19]}  {self._words(event)}")

    def _words(self, event: Event) -> str:
        """Where the run stands; of a run that is queued right now also its place."""
        if "state" not in event.data:
            return f"{event.type.removeprefix('run.')} {output.cell(event.data)}"
        if event.type == QUEUED:
            now = self._client.get(self._client.path("runs", self._run_id))
            return standing(now if now["state"] == "queued" else event.data)
        return standing(event.data)
