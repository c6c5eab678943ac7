"""headgate audit"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.exits import Exit
from headgate.cli.grammar import Command
from headgate.cli.session import current, server_options

EXAMPLES = (
    "headgate audit",
    "headgate --json audit | jq .violations",
    "headgate audit --repair --reason 'incident 42: slots of a lost worker'",
)
TITLES = ("INVARIANT", "SUBJECT", "DETAIL")


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--repair", is_flag=True, help="Put right what can be put right safely; needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why, for the audit log.")
@server_options
def audit(repair: bool, reason: str | None) -> int:
    """Recount every scope and list what does not add up: drift, leaks, stalls. For operators.

    Without --repair nothing is changed. With it leaked slots are dropped, lost ones put back, lines and lanes recounted,
    each in a commit of its own with a record in the audit log; then what still stands is listed. Exits 1 if anything is.
    """
    if repair and not (reason or "").strip():
        raise click.UsageError("--repair needs --reason: it goes into the audit log.")
    if reason and not repair:
        raise click.UsageError("--reason is of use with --repair only.")
    session = current()
    body = {"repair": True, "reason": reason} if repair else {}
    with session.client(as_operator=True) as client:
        found = client.post("/admin/audit", body)
    if session.as_json:
        output.document(found)
    else:
        _tell(found)
    return Exit.FAILED if found["violations"] else Exit.OK


def _tell(found: Mapping[str, Any]) -> None:
    for line in found["repaired"]:
        output.say(f"repaired {line}")
    if found["violations"]:
        output.table(TITLES, ([one[key] for key in ("invariant", "subject", "detail")] for one in found["violations"]))
    looked = ", ".join(f"{count} {name}" for name, count in found["checked"].items())
    output.say(f"{len(found['violations'])} violations in {looked}")
