"""headgate tenants"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.grammar import Command
from headgate.cli.session import current, server_options

EXAMPLES = (
    "headgate tenants",
    "headgate --json tenants",
    "headgate tenants --url https://headgate.example --api-key KEY",
)
TITLES = ("TENANT", "PLAN", "STATUS", "IN FLIGHT", "LIMIT", "QUEUED", "PAUSE")


@click.command(cls=Command, examples=EXAMPLES)
@server_options
def tenants() -> None:
    """List the tenants.

    An operator's key sees all, a tenant's its own. With demo.json the operator asks.
    """
    session = current()
    with session.client(as_operator=True) as client:
        found = client.pages("/tenants", None)
    if session.as_json:
        output.document(found)
    else:
        output.table(TITLES, map(_row, found["items"]))


def _row(tenant: Mapping[str, Any]) -> tuple[object, ...]:
    pause, limits = tenant.get("pause"), tenant.get("limits") or {}
    said = [str(pause[key]) for key in ("mode", "reason", "until") if pause.get(key)] if pause else []
    return (
        *(tenant.get(key) for key in ("tenantId", "plan", "status", "inFlight")),
        limits.get("concurrent"),
        tenant.get("queued"),
        ", ".join(said) or None,
    )
