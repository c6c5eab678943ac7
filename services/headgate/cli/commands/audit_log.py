"""headgate audit-log"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.grammar import Command
from headgate.cli.session import current, since_option, tenant_option

EXAMPLES = (
    "headgate audit-log",
    "headgate audit-log --subject tenant:pro-demo --since 24h",
    "headgate --json audit-log --action limit.set --all | jq '.items[].reason'",
)
TITLES = ("AT", "ACTOR", "ACTION", "SUBJECT", "BEFORE", "AFTER", "REASON")
FEW = 20


@click.command(name="audit-log", cls=Command, examples=EXAMPLES)
@click.option("--subject", metavar="SCOPE", help="Only what was done to this.")
@click.option("--actor", metavar="KEY", help="Only what this key (its id) has done, or system:sweep, system:policy.")
@click.option(
    "--action", metavar="WORD", help="Only this: limit.set, limit.reset, pause, resume, mode.set, key.issued …."
)
@since_option()
@click.option("--limit", type=click.IntRange(min=1), default=FEW, show_default=True, help="How many, at most.")
@click.option("--all", "every", is_flag=True, help="All of them.")
@tenant_option
def audit_log(
    subject: str | None, actor: str | None, action: str | None, since: str | None, limit: int, every: bool
) -> None:
    """Show who changed what, newest first: switches, limits, keys, repairs.

    An operator sees all; with --tenant it is the log of that tenant.
    """
    session = current()
    asked = {"subject": subject, "actor": actor, "action": action, "since": since}
    query = {name: value for name, value in asked.items() if value is not None}
    with session.client(as_operator=session.tenant is None) as client:
        path = "/admin/audit-log" if session.tenant is None else client.path("audit-log")
        found = client.pages(path, None if every else limit, **query)
    if session.as_json:
        output.document(found)
        return
    output.table(TITLES, map(_row, found["items"]))
    if found["nextCursor"]:
        output.note("There are more: --all shows them.")


def _row(record: Mapping[str, Any]) -> tuple[object, ...]:
    at = str(record["at"])[:19].replace("T", " ")
    return at, *(record[key] for key in ("actor", "action", "subject", "before", "after", "reason"))
