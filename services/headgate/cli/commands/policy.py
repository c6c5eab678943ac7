"""headgate policy show"""

from __future__ import annotations

import click
import yaml

from headgate.cli import output
from headgate.cli.exits import Exit, Failure
from headgate.cli.grammar import Group
from headgate.cli.session import current, json_option
from headgate.core.policy import Policy
from headgate.policy_file import policy_as_data
from headgate.settings import Settings

EXAMPLES = (
    "headgate policy show",
    "headgate policy show --policy policy.yaml",
    "headgate --json policy show | jq .plans.pro.concurrent",
)


@click.group(cls=Group, examples=EXAMPLES[:1])
@json_option
def policy() -> None:
    """The numbers that decide."""


@policy.command(examples=EXAMPLES)
@click.option("--policy", "file", metavar="FILE", help="Policy file (HEADGATE_POLICY; the defaults).")
@json_option
def show(file: str | None) -> None:
    """Print the whole policy in force, defaults and all, as a policy file. No server is needed.

    The policy is that of the file and the environment here, which is what `headgate up` would start with.
    """
    session = current()
    data = policy_as_data(in_force(session.settings(HEADGATE_POLICY=file)))
    if session.as_json:
        output.document(data)
    else:
        output.say(yaml.safe_dump(data, sort_keys=False, allow_unicode=True).rstrip())


def in_force(settings: Settings) -> Policy:
    """The policy that a server with these settings would have. Raises PolicyError, Failure."""
    from headgate.wiring import load_the_policy  # with it comes the whole server

    try:
        return load_the_policy(settings)
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"
        raise Failure(
            Exit.USAGE, f"HEADGATE_POLICY={settings.policy}: {reason}.", "Give a policy file (YAML)."
        ) from error
