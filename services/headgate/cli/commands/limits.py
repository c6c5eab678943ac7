"""headgate limits"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from headgate.cli import output, values
from headgate.cli.client import Client
from headgate.cli.exits import Exit, Failure
from headgate.cli.grammar import Group
from headgate.cli.session import Session, current, server_options, since_option, tenant_option
from headgate.core.limits import SETTABLE

TITLES = ("SCOPE", "LIMIT", "USED", "POLICY", "SET BY", "SINCE", "UNTIL", "REASON")
OUTCOMES = ("TENANT", "SUBMITTED", "ADMITTED", "WAITED", "REFUSED", "WAIT P50", "WAIT P90")
ADMIN = "/admin/limits"

_set_reason = click.option("--reason", metavar="TEXT", required=True, help="Why, for the audit log.")


@click.group(cls=Group, examples=("headgate limits list",), invoke_without_command=True)
@tenant_option
@click.pass_context
def limits(context: click.Context) -> None:
    """Show the limits, change them at run time, or ask what others would do.

    Without a command: the limits in force, of all tenants for an operator, of one with --tenant. Changes with --tenant
    are made as that tenant, within its plan; without it as an operator.
    """
    if context.invoked_subcommand is None:
        context.invoke(show)


@limits.command(name="list", examples=("headgate limits list", "headgate limits list --tenant pro-demo"))
@tenant_option
def show() -> None:
    """List limits: in force, in use, what the policy says, and who set another at run time."""
    session = current()
    with session.client(as_operator=_operates(session)) as client:
        found = client.get(_path(session, client))
    _tell(session, found)


@limits.command(
    name="set",
    examples=(
        "headgate limits set system 20 --reason 'half the fleet is gone'",
        "headgate limits set tenant:pro-demo 3 --reason INC-7 --until +2h",
        "headgate limits set repo:pro-demo/acme/web 1 --reason 'flaky deploys' --tenant pro-demo",
    ),
)
@click.argument("scope")
@click.argument("limit", type=click.IntRange(min=0))
@_set_reason
@click.option("--until", metavar="TIME", help="When it is taken back by itself: 2030-01-31T08:00:00Z, or +30m.")
@tenant_option
def set_(scope: str, limit: int, reason: str, until: str | None) -> None:
    """Set the limit of SCOPE over the policy's. No run is ended: above a lowered limit nothing new starts."""
    session = current()
    moment = values.read_time(until, session.timing.wall_ms(), "--until")
    more = {} if moment is None else {"until": moment}
    _put(session, {"scope": scope, "limit": limit, "reason": reason, **more})


set_.help = f"{set_.help}\n\nSCOPE is one of {', '.join(SETTABLE)}."


@limits.command(examples=("headgate limits reset system --reason 'the fleet is whole again'",))
@click.argument("scope")
@_set_reason
@tenant_option
def reset(scope: str, reason: str) -> None:
    """Take the limit of SCOPE back to the policy's."""
    _put(current(), {"scope": scope, "limit": None, "reason": reason})


@limits.command(
    name="what-if",
    examples=(
        "headgate limits what-if proposed.json --since 24h",
        "headgate limits what-if policy.yaml --since 2030-01-31T08:00:00Z --tenant pro-demo",
        "headgate --json limits what-if proposed.json | jq '.tenants[].then'",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@since_option("24h")
@click.option("--tenant", metavar="TENANT", help="Tell of this tenant only; all are replayed.")
@server_options
def what_if(file: Path, since: str, tenant: str | None) -> None:
    """Replay what was submitted against the limits in FILE, beside the present ones. Nothing is changed.

    FILE is {"limits": {"tenant:acme": 3, "system": 20, "user": 2}} (what it leaves out stays as it is), or a whole
    policy file (what was set at run time keeps standing over it). For operators.
    """
    session = current()
    body = {**_proposal(file), "since": since}
    with session.client(as_operator=True) as client:
        found = client.ask(f"{ADMIN}/what-if", body | ({"tenant": tenant} if tenant else {}))
    if session.as_json:
        output.document(found)
        return
    output.table(OUTCOMES, map(_outcome, found["tenants"]))
    output.say(
        f"\n{found['receipts']} receipts since {found['since']}. Of {found['agreeing']} the replay of the present limits "
        "says what really happened.\nNot in the model:"
    )
    for sentence in found["leftOut"]:
        output.say(f"- {sentence}")


# --- whose


def _operates(session: Session) -> bool:
    return session.tenant is None


def _path(session: Session, client: Client) -> str:
    return ADMIN if _operates(session) else client.path("limits")


def _put(session: Session, body: Mapping[str, Any]) -> None:
    with session.client(as_operator=_operates(session)) as client:
        found = client.put(_path(session, client), body)
    _tell(session, found)


# --- what is said


def _tell(session: Session, found: Mapping[str, Any]) -> None:
    if session.as_json:
        output.document(found)
    else:
        output.table(TITLES, map(_row, found["limits"]))


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    over = one["override"] or {}
    numbers = ("none" if one[key] is None else one[key] for key in ("effective", "used", "base"))
    return one["scope"], *numbers, *(over.get(key) for key in ("by", "since", "until", "reason"))


def _outcome(one: Mapping[str, Any]) -> tuple[object, ...]:
    now, then = one["now"], one["then"]
    counts = (f"{now[key]} → {then[key]}" for key in ("admitted", "waited", "refused"))
    waits = (f"{now[key]:.1f} s → {then[key]:.1f} s" for key in ("waitP50", "waitP90"))
    return one["tenant"], one["submitted"], *counts, *waits


# --- the proposal


def _proposal(file: Path) -> dict[str, Any]:
    """A file of limits (one key, `limits`, of scopes) or a policy file, as the server takes it. Raises Failure."""
    try:
        text = file.read_text("utf-8")
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is neither JSON nor YAML in UTF-8"
        raise Failure(Exit.USAGE, f"{file}: {reason}.", 'Give {"limits": {…}} or a policy file.') from error
    proposed = data.get("limits") if isinstance(data, dict) and set(data) == {"limits"} else None
    if isinstance(proposed, dict) and not any(isinstance(value, dict) for value in proposed.values()):
        return {"limits": {str(scope): limit for scope, limit in proposed.items()}}
    return {"policy": text}
