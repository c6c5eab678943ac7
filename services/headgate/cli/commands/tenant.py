"""headgate tenant suspend | deactivate | activate"""

from __future__ import annotations

from urllib.parse import quote

import click

from headgate.cli import output
from headgate.cli.grammar import Group
from headgate.cli.session import current, server_options

_reason = click.option("--reason", metavar="TEXT", required=True, help="Why, for the audit log.")


@click.group(cls=Group, examples=("headgate tenant suspend pro-demo --reason 'payment overdue'",))
@server_options
def tenant() -> None:
    """A tenant's standing: suspend it, deactivate it, take it back. For operators."""


@tenant.command(examples=("headgate tenant suspend pro-demo --reason 'payment overdue'",))
@click.argument("tenant_id", metavar="TENANT")
@_reason
@server_options
def suspend(tenant_id: str, reason: str) -> None:
    """Refuse its submissions (403) and start nothing of it. What runs goes on, what waits stays in line."""
    _set(tenant_id, "suspended", reason)


@tenant.command(examples=("headgate tenant deactivate pro-demo --reason 'contract ended'",))
@click.argument("tenant_id", metavar="TENANT")
@_reason
@server_options
def deactivate(tenant_id: str, reason: str) -> None:
    """Refuse its submissions (403) and cancel everything of it that has not ended."""
    _set(tenant_id, "deactivated", reason)


@tenant.command(examples=("headgate tenant activate pro-demo --reason 'paid'",))
@click.argument("tenant_id", metavar="TENANT")
@_reason
@server_options
def activate(tenant_id: str, reason: str) -> None:
    """Take it back."""
    _set(tenant_id, "active", reason)


def _set(tenant_id: str, status: str, reason: str) -> None:
    session = current()
    with session.client(as_operator=True) as client:
        found = client.put(f"/tenants/{quote(tenant_id, safe='')}/status", {"status": status, "reason": reason})
    if session.as_json:
        output.document(found)
    else:
        output.say(f"{found['tenantId']} {found['status']}, {found['inFlight']} in flight, {found['queued']} queued")
