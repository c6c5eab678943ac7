"""headgate receipt"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.grammar import Command
from headgate.cli.session import current, tenant_option

EXAMPLES = ("headgate receipt rcpt_4mz0c9v1x7a2b3d5e6f8", "headgate --json receipt rcpt_4mz0c9v1x7a2b3d5e6f8")


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("receipt_id")
@tenant_option
def receipt(receipt_id: str) -> None:
    """Show the record of one decision.

    What was asked, what was seen, what was decided and why. Every answer to a submission names its receipt.
    """
    session = current()
    with session.client() as client:
        found = client.get(client.path("receipts", receipt_id))
    if session.as_json:
        output.document(found)
        return
    output.facts(_facts(found))
    output.table(("SCOPE", "USED", "LIMIT", ""), map(_scope_row, found.get("scopes") or ()))


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield from ((key, value) for key, value in found.items() if key != "scopes")


def _scope_row(scope: Mapping[str, Any]) -> tuple[object, ...]:
    limit = "none" if scope["limit"] is None else scope["limit"]
    return scope["scope"], scope["used"], limit, "full" if scope["full"] else None
