"""headgate why"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.grammar import Command
from headgate.cli.session import current, tenant_option

RUN = "run_4mz0c9v1x7a2b3d5e6f8"
EXAMPLES = (f"headgate why {RUN}", f"headgate --json why {RUN} | jq .unblock")
HOLDERS = ("HOLDER", "TENANT", "KIND", "USER", "SINCE", "EXPECTED END")


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("run_id")
@tenant_option
def why(run_id: str) -> None:
    """Tell why a run waits, who holds what it needs, and what would unblock it."""
    session = current()
    with session.client() as client:
        found = client.get(client.path("runs", run_id, "why"))
    if session.as_json:
        output.document(found)
        return
    output.facts(_facts(found))
    if found["holders"]:
        output.table(HOLDERS, map(_row, found["holders"]))


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "run", found["runId"]
    yield "state", f"{found['state']} since {_moment(found['since'])}"
    if found["waiting"]:
        yield "place", _place(found)
    for reason in found["waitingFor"]:
        yield reason["token"], reason["means"]
    yield "unblocked by", found["unblock"]
    wait = found["estimatedWait"]
    if wait:
        yield "expected wait", f"about {wait['p50']:g} s, hardly more than {wait['p90']:g} s ({wait['basis']})"
    yield "next release", _moment(found["expectedRelease"]) if found["expectedRelease"] else None
    if found["otherHolders"]:
        yield "other holders", found["otherHolders"]


def _place(found: Mapping[str, Any]) -> str:
    if found["position"] is None:
        return f"none yet, {found['length']} in line"
    ahead = found["aheadByPriority"]
    return f"{found['position']} of {found['length']}" + (f", {ahead} ahead by priority" if ahead else "")


def _row(holder: Mapping[str, Any]) -> tuple[object, ...]:
    times = (_moment(holder["since"]), _moment(holder["expectedEnd"]))
    return (*(holder[key] for key in ("runId", "tenantId", "kind", "user")), *times)


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")
