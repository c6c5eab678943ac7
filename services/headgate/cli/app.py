"""The command `headgate`: its options, and the list of its commands."""

from __future__ import annotations

import click

from headgate import __version__
from headgate.cli.commands.audit import audit
from headgate.cli.commands.audit_log import audit_log
from headgate.cli.commands.backup import backup, restore
from headgate.cli.commands.bench import bench
from headgate.cli.commands.cancel import cancel
from headgate.cli.commands.dlq import dlq
from headgate.cli.commands.fairness import fairness
from headgate.cli.commands.forecast import forecast
from headgate.cli.commands.keys import keys
from headgate.cli.commands.limits import limits
from headgate.cli.commands.mode import drain, mode
from headgate.cli.commands.pause import pause, pauses, resume
from headgate.cli.commands.policy import policy
from headgate.cli.commands.pressure import pressure
from headgate.cli.commands.receipt import receipt
from headgate.cli.commands.run import run
from headgate.cli.commands.runs import runs
from headgate.cli.commands.submit import submit
from headgate.cli.commands.tenant import tenant
from headgate.cli.commands.tenants import tenants
from headgate.cli.commands.up import up
from headgate.cli.commands.verify import verify
from headgate.cli.commands.why import why
from headgate.cli.exits import MEANINGS
from headgate.cli.grammar import Group
from headgate.cli.session import server_options

EXAMPLES = (
    "headgate up                                   # in one terminal",
    "headgate submit command --wait -- echo hello  # in another",
    "headgate runs",
    "headgate --json runs --state queued | jq '.items[].runId'",
)


@click.group(
    cls=Group,
    examples=EXAMPLES,
    exit_codes=MEANINGS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="headgate", message="%(prog)s %(version)s")
@server_options
def headgate() -> None:
    """A multi-tenant run control plane: which jobs of which tenant start now, wait, or are refused.

    Start a server with `headgate up`; the other commands find it and its demo keys through .headgate/demo.json. For
    another server give --url and --api-key, or set HEADGATE_URL and HEADGATE_API_KEY. The options here may also stand
    after the command.
    """


work = (submit, runs, run, why, cancel, receipt)
switches = (pause, resume, pauses, drain, mode, limits, pressure, dlq)
reports = (forecast, fairness)
for command in (
    up,
    *work,
    tenants,
    tenant,
    keys,
    *switches,
    *reports,
    policy,
    audit,
    audit_log,
    backup,
    restore,
    verify,
    bench,
):
    headgate.add_command(command)
