"""headgate pause, headgate resume, headgate pauses"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headgate.cli import output, values
from headgate.cli.grammar import Command
from headgate.cli.session import current, server_options
from headgate.core.pauses import MODES

TITLES = ("SCOPE", "STATE", "MODE", "REASON", "BY", "SINCE", "UNTIL", "TICKET")
PAUSES = "/admin/pauses"


@click.command(
    cls=Command,
    examples=(
        "headgate pause tenant:pro-demo --reason queue_backlog",
        "headgate pause repo:pro-demo/acme/web --reason 'bad deploy' --mode drain --until +30m --ticket INC-7",
        "headgate pause kind:git --reason 'provider down' --mode hold",
    ),
)
@click.argument("scope")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for everybody who meets it and the audit log.")
@click.option("--mode", type=click.Choice(MODES), default="reject", show_default=True, help="What it does to runs.")
@click.option("--until", metavar="TIME", help="When it ends by itself: 2030-01-31T08:00:00Z, or +30m.")
@click.option("--ticket", metavar="ID", help="Where it is worked on.")
@server_options
def pause(scope: str, reason: str, mode: str, until: str | None, ticket: str | None) -> None:
    """Pause SCOPE: kind:K, tenant:T, user:T/U, org:T/O or repo:T/O/NAME. After the answer nothing of it starts.

    What runs goes on and what is about to start goes back in line. New submissions are refused, with --mode hold they
    wait; --mode drain also cancels what waits, drain_cancel what runs, too. Pausing again replaces the pause.
    """
    session = current()
    body: dict[str, Any] = {"scope": scope, "mode": mode, "reason": reason, "ticket": ticket}
    body["until"] = values.read_time(until, session.timing.wall_ms(), "--until")
    with session.client(as_operator=True) as client:
        found = client.post(PAUSES, {name: value for name, value in body.items() if value is not None})
    if session.as_json:
        output.document(found)
    else:
        output.say(f"{found['scope']} {found['state']}, mode {found['mode']}{_end(found)}")


@click.command(cls=Command, examples=("headgate resume tenant:pro-demo", "headgate resume kind:git"))
@click.argument("scope")
@server_options
def resume(scope: str) -> None:
    """End the pause of SCOPE. What waited takes up again at a pace."""
    session = current()
    with session.client(as_operator=True) as client:
        found = client.delete(PAUSES, scope=scope)
    if session.as_json:
        output.document(found)
    else:
        output.say(f"{found['scope']} {'resumed' if found['resumed'] else 'was not paused'}")


@click.command(cls=Command, examples=("headgate pauses", "headgate --json pauses | jq '.items[].scope'"))
@server_options
def pauses() -> None:
    """List the pauses that stand: an operator sees all, a tenant's key its own."""
    session = current()
    with session.client(as_operator=True) as client:
        found = client.pages(PAUSES, None)
    if session.as_json:
        output.document(found)
    else:
        output.table(TITLES, map(_row, found["items"]))


def _row(found: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(found.get(key) for key in ("scope", "state", "mode", "reason", "by", "since", "until", "ticket"))


def _end(found: Mapping[str, Any]) -> str:
    return f" until {found['until']}" if found.get("until") else ""
