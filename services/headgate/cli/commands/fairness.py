"""headgate fairness"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.grammar import Command
from headgate.cli.session import current, server_options

EXAMPLES = ("headgate fairness", "headgate fairness --window 600", "headgate --json fairness | jq .jain")
TITLES = ("TENANT", "WEIGHT", "ENTITLED", "RECEIVED", "SHARE", "HELD", "QUEUED", "LONGEST WAIT")


@click.command(cls=Command, examples=EXAMPLES)
@click.option(
    "--window",
    type=click.IntRange(60, 86_400),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="How far to look back.",
)
@server_options
def fairness(window: int) -> None:
    """Show what each tenant was entitled to and what it received.

    In slot-seconds, over the time in which the tenant had runs that could start. For operators.
    Jain's index is 1 when every tenant got the same part of what it was entitled to.
    """
    session = current()
    with session.client(as_operator=True) as client:
        found = client.get("/admin/fairness", window=str(window))
    if session.as_json:
        output.document(found)
        return
    output.table(TITLES, map(_row, found["tenants"]))
    index = "no tenant had to wait" if found["jain"] is None else f"Jain's index {found['jain']:g}"
    output.say(f"{index}, {found['since'][:19].replace('T', ' ')} to {found['asOf'][:19].replace('T', ' ')}")
    if not found["complete"]:
        output.note("More runs ended in this window than were read: take a shorter one.")


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    had = one["demand"]
    return (
        one["tenantId"],
        f"{one['weight']:g}",
        f"{one['entitledSlotSeconds']:.0f}" if had else None,
        f"{one['receivedSlotSeconds']:.0f}" if had else None,
        None if one["share"] is None else f"{one['share']:.0%}",
        f"{one['heldSlotSeconds']:.0f}",
        one["queued"],
        f"{one['longestWaitSeconds']:.0f} s" if one["queued"] else None,
    )
