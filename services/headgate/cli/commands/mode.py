"""headgate mode, headgate drain"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.bar import bar
from headgate.cli.client import Client
from headgate.cli.exits import Exit, Failure
from headgate.cli.grammar import Command
from headgate.cli.session import Session, current, server_options

DRAINING = "/admin/draining"
LOOK_SECONDS = 1.0


@click.command(
    cls=Command,
    examples=("headgate mode", "headgate mode maintenance --reason 'store upgrade'", "headgate mode normal"),
)
@click.argument("mode", required=False, type=click.Choice(("normal", "draining", "maintenance")))
@click.option("--reason", metavar="TEXT", help="Why, for the audit log.")
@server_options
def mode(mode: str | None, reason: str | None) -> None:
    """Show the system's mode, or set it. For operators.

    draining takes no new work and finishes what it has (see `headgate drain`), maintenance starts nothing at all, normal
    opens again.
    """
    session = current()
    with session.client(as_operator=True) as client:
        found = client.get(DRAINING) if mode is None else _set(client, mode, reason)
    _tell(session, found)


@click.command(
    cls=Command,
    examples=("headgate drain --reason 'deploy 42'", "headgate drain --wait"),
)
@click.option("--reason", metavar="TEXT", help="Why, for the audit log.")
@click.option("--wait", is_flag=True, help="Stay until everything has finished.")
@server_options
def drain(reason: str | None, wait: bool) -> None:
    """Drain the system: new work is refused, the line and what runs finish. `headgate mode normal` opens it again."""
    session = current()
    with session.client(as_operator=True) as client:
        found = _set(client, "draining", reason)
        if wait:
            found = _wait(session, client, found)
    _tell(session, found)


def _set(client: Client, mode: str, reason: str | None) -> dict[str, Any]:
    found: dict[str, Any] = client.put(DRAINING, {"mode": mode} | ({"reason": reason} if reason else {}))
    return found


def _wait(session: Session, client: Client, found: dict[str, Any]) -> dict[str, Any]:
    with bar("drained") as progress:
        while found["mode"] == "draining":
            done = found["progress"]
            progress(done["finished"], done["total"])
            if done["finished"] >= done["total"]:
                return found
            session.timing.sleep(LOOK_SECONDS)
            found = client.get(DRAINING)
    raise Failure(Exit.FAILED, f"the drain was called off: the mode is {found['mode']}.", document=found)


def _tell(session: Session, found: Mapping[str, Any]) -> None:
    if session.as_json:
        output.document(found)
        return
    pairs = [(key, found.get(key)) for key in ("mode", "since", "by", "reason")]
    output.facts([*pairs, ("progress", progress_of(found))])


def progress_of(found: Mapping[str, Any]) -> str | None:
    """`12 of 40 finished, about 6 min`; nothing in the normal mode."""
    done = found["progress"]
    if found["mode"] == "normal":
        return None
    said = f"{done['finished']} of {done['total']} finished"
    if found.get("drainSeconds") is not None:
        return f"{said}, it took {_span(found['drainSeconds'])}"
    about = found.get("estimatedSeconds")
    return f"{said}, about {_span(about)}" if about else said


def _span(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 90 else f"{round(seconds / 60)} min"
