"""headgate dlq list | show | replay | discard"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click

from headgate.cli import output
from headgate.cli.exits import Exit
from headgate.cli.grammar import Group
from headgate.cli.session import current, server_options

LETTERS = "/admin/dead-letters"
LETTER = "dl_run_4mz0c9v1x7a2b3d5e6f8~0"
TITLES = ("DEAD LETTER", "STATE", "REASON", "OUTCOME", "TENANT", "RUN", "COUNT", "AT")
REASONS = click.Choice(("malformed", "dead_lettered", "undelivered"))


@click.group(cls=Group, examples=("headgate dlq list", "headgate dlq replay --all --reason 'broker is back'"))
@server_options
def dlq() -> None:
    """Dead letters: messages that were given up. Look at them, replay them, discard them. For operators."""


@dlq.command("list", examples=("headgate dlq list", "headgate dlq list --tenant pro-demo --state open --limit 100"))
@click.option("--tenant", "tenantId", metavar="TENANT", help="Only those of this tenant.")
@click.option("--run", "runId", metavar="RUN", help="Only those of this run.")
@click.option("--reason", type=REASONS, help="Only those given up for this reason.")
@click.option("--state", type=click.Choice(("open", "replayed", "discarded")), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
@server_options
def list_(limit: int, **filters: str | None) -> None:
    """List dead letters, newest first."""
    session = current()
    wanted = {name: value for name, value in filters.items() if value is not None}
    with session.client(as_operator=True) as client:
        found = client.pages(LETTERS, limit, **wanted)
    if session.as_json:
        output.document(found)
        return
    output.table(TITLES, map(_row, found["items"]))
    if found["nextCursor"]:
        output.note(f"… and more: --limit {limit * 5}")


@dlq.command(examples=(f"headgate dlq show {LETTER}",))
@click.argument("dead_letter")
@server_options
def show(dead_letter: str) -> None:
    """Show everything about one, its message as it came included. Looking changes nothing."""
    session = current()
    with session.client(as_operator=True) as client:
        found = client.get(f"{LETTERS}/{quote(dead_letter, safe='')}")
    if session.as_json:
        output.document(found)
    else:
        output.facts(found.items())


@dlq.command(
    examples=(
        f"headgate dlq replay {LETTER} --reason 'worker fixed'",
        "headgate dlq replay --all --tenant pro-demo --reason 'broker is back'",
    )
)
@click.argument("dead_letters", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="The newest 200 open ones.")
@click.option("--tenant", metavar="TENANT", help="With --all: only those of this tenant.")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for the audit log.")
@server_options
def replay(dead_letters: Sequence[str], everything: bool, tenant: str | None, reason: str) -> int:
    """Do again what was given up. Replaying one twice does it once.

    A run that has ended is asked for again as a new run, in line if need be; one that still waits for its message gets
    it again. A malformed message cannot be replayed. Exits 1 if any could not be.
    """
    return _each("replay", dead_letters, everything, tenant, reason)


@dlq.command(
    examples=(
        f"headgate dlq discard {LETTER} --reason 'seen, harmless'",
        "headgate dlq discard --all --reason 'old noise'",
    )
)
@click.argument("dead_letters", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="The newest 200 open ones.")
@click.option("--tenant", metavar="TENANT", help="With --all: only those of this tenant.")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for the audit log.")
@server_options
def discard(dead_letters: Sequence[str], everything: bool, tenant: str | None, reason: str) -> int:
    """Lay dead letters aside: they stay in the list as discarded until retention removes them."""
    return _each("discard", dead_letters, everything, tenant, reason)


def _each(verb: str, ids: Sequence[str], everything: bool, tenant: str | None, reason: str) -> int:
    if bool(ids) == everything or (tenant and not everything):
        raise click.UsageError("name dead letters, or give --all (--tenant goes with --all).")
    body: dict[str, Any] = {"reason": reason}
    body |= {"filter": {"tenantId": tenant} if tenant else {}} if everything else {"ids": list(ids)}
    session = current()
    with session.client(as_operator=True) as client:
        found = client.post(f"{LETTERS}/{verb}", body)
    if session.as_json:
        output.document(found)
    else:
        output.table(("DEAD LETTER", "STATUS", "RUN", ""), map(_done, found["items"]))
        if found["more"]:
            output.note("… and more: say it again")
    return Exit.FAILED if any(one["status"] >= 400 for one in found["items"]) else Exit.OK


def _row(found: Mapping[str, Any]) -> tuple[object, ...]:
    keys = ("deadLetterId", "state", "reason", "outcome", "tenantId", "runId", "count", "at")
    return tuple(found.get(key) for key in keys)


def _done(found: Mapping[str, Any]) -> tuple[object, ...]:
    run, error = found.get("run") or {}, found.get("error") or {}
    said = run.get("state") or error.get("detail") or error.get("reason") or error.get("message") or error.get("error")
    return (found["deadLetterId"], found["status"], run.get("runId"), said)
