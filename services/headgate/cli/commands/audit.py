"""headgate audit"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from headgate.cli import output
from headgate.cli.exits import Exit, Failure
from headgate.cli.grammar import Command
from headgate.cli.session import current, server_options
from headgate.core.errors import InvalidRequest

EXAMPLES = (
    "headgate audit",
    "headgate --json audit | jq .violations",
    "headgate audit --repair --reason 'incident 42: slots of a lost worker'",
    "headgate audit --log events.jsonl --cap system=50 --cap tenant:acme=5",
)
TITLES = ("INVARIANT", "SUBJECT", "DETAIL")


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--repair", is_flag=True, help="Put right what can be put right safely; needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why, for the audit log.")
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check a recorded log instead of a server: a JSON line per event, with runId and tenantId.",
)
@click.option("--cap", "caps", multiple=True, metavar="SCOPE=N", help="With --log: a cap that stood all the while.")
@server_options
def audit(repair: bool, reason: str | None, log: Path | None, caps: tuple[str, ...]) -> int:
    """Recount every scope and list what does not add up: drift, leaks, stalls. For operators.

    Without --repair nothing is changed. With it leaked slots are dropped, lost ones put back, lines and lanes recounted,
    each in a commit of its own with a record in the audit log; then what still stands is listed. With --log no server
    is asked: the lives of the runs in a recorded log are checked. Exits 1 if anything is wrong.
    """
    if log is not None or caps:
        return _recorded(log, caps, alone=not (repair or reason))
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


def _recorded(log: Path | None, caps: tuple[str, ...], alone: bool) -> int:
    from headgate.cli.recorded import read_caps, read_log
    from headgate.flow.invariants import check_log

    if log is None or not alone:
        raise click.UsageError("--cap goes with --log, and --log with neither --repair nor --reason.")
    try:
        entries, known = read_log(log), read_caps(caps)
    except InvalidRequest as wrong:
        raise Failure(Exit.USAGE, wrong.detail) from wrong
    found = [asdict(violation) for violation in check_log(entries, known)]
    counted = {"events": len(entries), "runs": len({entry.run for entry in entries})}
    report = {"violations": found, "checked": counted, "repaired": []}
    output.document(report) if current().as_json else _tell(report)
    return Exit.FAILED if found else Exit.OK


def _tell(found: Mapping[str, Any]) -> None:
    for line in found["repaired"]:
        output.say(f"repaired {line}")
    if found["violations"]:
        output.table(TITLES, ([one[key] for key in ("invariant", "subject", "detail")] for one in found["violations"]))
    looked = ", ".join(f"{count} {name}" for name, count in found["checked"].items())
    output.say(f"{len(found['violations'])} violations in {looked}")
