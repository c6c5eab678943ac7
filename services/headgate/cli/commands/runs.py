"""headgate runs"""

from __future__ import annotations

import click

from headgate.cli import output
from headgate.cli.grammar import Command
from headgate.cli.session import current, tenant_option
from headgate.cli.words import RUN_TITLES, run_row
from headgate.core.run import RunState

EXAMPLES = (
    "headgate runs",
    "headgate runs --tenant free-demo --state queued",
    "headgate runs --repo acme/web --all",
    "headgate --json runs --kind git --limit 5",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--state", type=click.Choice([str(state) for state in RunState]), help="Only those in this state.")
@click.option("--kind", metavar="KIND", help="Only those of this kind.")
@click.option("--repo", metavar="OWNER/NAME", help="Only those of this repository.")
@click.option("--user", metavar="USER", help="Only those of this user.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@tenant_option
def runs(limit: int, everything: bool, **filters: str | None) -> None:
    """List runs, newest first."""
    session = current()
    wanted = {name: value for name, value in filters.items() if value is not None}
    with session.client() as client:
        found = client.pages(client.path("runs"), None if everything else limit, **wanted)
    if session.as_json:
        output.document(found)
        return
    output.table(RUN_TITLES, map(run_row, found["items"]))
    if found["nextCursor"]:
        output.note(f"… and more: --limit {limit * 5}, or --all")
