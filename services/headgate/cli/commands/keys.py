"""headgate keys list | issue | revoke"""

from __future__ import annotations

from urllib.parse import quote

import click

from headgate.cli import output
from headgate.cli.grammar import Group
from headgate.cli.session import current, server_options

ROLES = ("OWNER", "ADMIN", "DEVELOPER", "VIEWER")
TITLES = ("KEY", "NAME", "ROLE", "USER", "CREATED", "REVOKED")
FIELDS = ("keyId", "name", "role", "user", "createdAt", "revokedAt")
_tenant = click.argument("tenant_id", metavar="TENANT")


@click.group(
    cls=Group, examples=("headgate keys list pro-demo", "headgate keys issue pro-demo --name ci --role DEVELOPER")
)
@server_options
def keys() -> None:
    """API keys of a tenant: look, issue, revoke. For operators here; owners have the same doors over HTTP."""


@keys.command("list", examples=("headgate keys list pro-demo",))
@_tenant
@server_options
def list_keys(tenant_id: str) -> None:
    """Show the keys, without their secrets."""
    session = current()
    with session.client(as_operator=True) as client:
        found = client.get(_path(tenant_id))
    if session.as_json:
        output.document(found)
    else:
        output.table(TITLES, ([key[field] for field in FIELDS] for key in found["items"]))


@keys.command(examples=("headgate keys issue pro-demo --name ci --role DEVELOPER",
                        "headgate keys issue pro-demo --name ada --role ADMIN --user ada"))  # fmt: skip
@_tenant
@click.option("--name", required=True, metavar="TEXT", help="What it is for.")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What it may do.")
@click.option("--user", metavar="USER", help="The member whose own key it is; without, it is a service key.")
@server_options
def issue(tenant_id: str, name: str, role: str, user: str | None) -> None:
    """Issue a key. It is shown this once: keep it."""
    session = current()
    with session.client(as_operator=True) as client:
        found = client.post(_path(tenant_id), {"name": name, "role": role} | ({"user": user} if user else {}))
    output.document(found) if session.as_json else output.say(f"{found['keyId']} {found['apiKey']}")


@keys.command(examples=("headgate keys revoke pro-demo key_7f3a",))
@_tenant
@click.argument("key_id", metavar="KEY")
@server_options
def revoke(tenant_id: str, key_id: str) -> None:
    """Revoke a key: within a minute it is good for nothing."""
    session = current()
    with session.client(as_operator=True) as client:
        found = client.delete(f"{_path(tenant_id)}?keyId={quote(key_id, safe='')}")
    output.document(found) if session.as_json else output.say(f"{found['keyId']} revoked at {found['revokedAt']}")


def _path(tenant_id: str) -> str:
    return f"/tenants/{quote(tenant_id, safe='')}/keys"
