"""headgate forecast"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.grammar import Command
from headgate.cli.session import current, server_options

EXAMPLES = ("headgate forecast", "headgate --json forecast | jq .total.withinP90")
TITLES = ("KIND", "RUNS", "WITHIN P50", "WITHIN P90", "MEDIAN ERROR")


@click.command(cls=Command, examples=EXAMPLES)
@server_options
def forecast() -> None:
    """Show how often the estimates of waits held.

    That is counted over the latest runs that were told a wait, started and have ended. For operators.
    Good estimates have about 50 % within p50 and 90 % within p90.
    """
    session = current()
    with session.client(as_operator=True) as client:
        found = client.get("/admin/forecast")
    if session.as_json:
        output.document(found)
        return
    rows = [("all", found["total"]), *found["kinds"].items()]
    output.table(TITLES, (_row(name, one) for name, one in rows))


def _row(name: str, one: Mapping[str, Any]) -> tuple[object, ...]:
    error = one["medianErrorSeconds"]
    shares = (None if one[key] is None else f"{one[key]:.0%}" for key in ("withinP50", "withinP90"))
    return (name, one["runs"], *shares, None if error is None else f"{error:+g} s")
