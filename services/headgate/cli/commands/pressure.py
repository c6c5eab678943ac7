"""headgate pressure"""

from __future__ import annotations

import click

from headgate.cli import output
from headgate.cli.grammar import Command
from headgate.cli.session import current, server_options

TITLES = ("SIGNAL", "VALUE", "ABOVE", "ACTION", "SINCE", "DRY RUN")
KEYS = ("signal", "value", "threshold", "action", "since", "dryRun")


@click.command(cls=Command, examples=("headgate pressure", "headgate --json pressure | jq .state"))
@server_options
def pressure() -> None:
    """Show the back-pressure: each signal, its threshold, and what is done while it is above. For operators.

    slow paces starts, shed refuses new work below a priority. A rule with a time in SINCE fires.
    """
    session = current()
    with session.client(as_operator=True) as client:
        found = client.get("/admin/pressure")
    if session.as_json:
        output.document(found)
        return
    output.facts([("state", found["state"]), ("since", found["since"])])
    output.table(TITLES, ([rule[key] for key in KEYS] for rule in found["rules"]))
    for scope, since in found["ramps"].items():
        output.say(f"{scope} takes up again at a pace since {since}")
