"""headgate cancel"""

from __future__ import annotations

from typing import Any

import click

from headgate.cli import output, values
from headgate.cli.grammar import Command
from headgate.cli.session import current, tenant_option

EXAMPLES = (
    "headgate cancel --state queued",
    "headgate cancel --kind git --repo acme/web",
    "headgate cancel --label team=web --tenant pro-demo",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--state", type=click.Choice(("queued", "pending", "running")), help="Only those in this state.")
@click.option("--kind", metavar="KIND", help="Only those of this kind.")
@click.option("--repo", metavar="OWNER/NAME", help="Only those of this repository.")
@click.option("--org", metavar="OWNER", help="Only those of this organisation.")
@click.option("--user", metavar="USER", help="Only those of this user.")
@click.option("--priority", metavar="0-9|WORD", help="Only those of this priority.")
@click.option("--concurrency-key", "concurrencyKey", metavar="KEY", help="Only those with this concurrency key.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Only those with this label; repeatable.")
@tenant_option
def cancel(priority: str | None, labels: tuple[str, ...], **fields: str | None) -> None:
    """Cancel all runs of a tenant that have not ended and match every option; at least one must be given.

    For a single run there is `headgate run cancel`.
    """
    wanted: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if priority is not None:
        wanted["priority"] = values.read_priority(priority)
    if labels:
        wanted["labels"] = values.read_labels(labels)
    if not wanted:
        raise click.UsageError("say which: at least one of the options, as --state queued.")
    session = current()
    run_ids: list[str] = []
    with session.client() as client:
        more = True
        while more:
            done = client.post(client.path("runs:cancel"), {"filter": wanted})
            run_ids += done["runIds"]
            more = done["more"] and done["cancelled"] > 0
    if session.as_json:
        output.document({"cancelled": len(run_ids), "runIds": run_ids, "more": False})
    else:
        for run_id in run_ids:
            output.say(run_id)
        output.say(f"{len(run_ids)} cancelled")
