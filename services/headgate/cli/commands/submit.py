"""headgate submit"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from headgate import sources
from headgate.cli import batch, output, values
from headgate.cli.client import Client
from headgate.cli.exits import Exit
from headgate.cli.following import must_be_completed, until_end
from headgate.cli.grammar import Command
from headgate.cli.session import Session, current, tenant_option
from headgate.cli.words import Run, standing
from headgate.core.policy import OnLimit

EXAMPLES = (
    "headgate submit command -- echo hello",
    "headgate submit command --wait -- sleep 2",
    "headgate submit git https://github.com/pallets/click --repo pallets/click --wait",
    "headgate submit git --arg url=https://github.com/pallets/click --arg ref=main",
    """headgate submit command --input '{"command": "echo", "args": ["hello"]}' --on-limit queue""",
    "headgate submit report --input @january.json --tenant free-demo --priority high --label team=web",
    "headgate --json submit command --memory 256MB --duration 1m --not-before +10m -- true",
    "headgate submit --batch runs.json",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("kind", required=False)
@click.argument("words", nargs=-1)
@click.option(
    "--input", "input_", metavar="JSON|@FILE|-", help="The run's input: a JSON object, a file, or standard input."
)
@click.option(
    "--arg", "arguments", metavar="KEY=TEXT|KEY:=JSON", multiple=True, help="One key of the input; repeatable."
)
@click.option("--repo", metavar="OWNER/NAME", help="Repository whose limit counts.")
@click.option("--user", metavar="USER", help="End user whose limit counts; only for a service key.")
@click.option("--priority", metavar="0-9|WORD", help="0 to 9, or critical, high, normal, low (the plan's default).")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="A label; repeatable.")
@click.option("--on-limit", type=click.Choice([str(word) for word in OnLimit]), help="What to do when a scope is full.")
@click.option("--concurrency-key", metavar="KEY", help="What skip and cancel_in_progress compare.")
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key and body give the same run (a fresh one each time)."
)
@click.option("--memory", metavar="SIZE", callback=values.memory, help="Memory limit, as 256MB.")
@click.option("--duration", metavar="TIME", callback=values.duration, help="Time limit, as 90s or 5m.")
@click.option("--cpu", metavar="CORES", callback=values.cpu, help="CPU limit, in cores.")
@click.option("--not-before", metavar="TIME", help="Earliest start: 2030-01-31T08:00:00Z, or +10m.")
@click.option("--start-by", metavar="TIME", help="Latest start; what has not started by then expires.")
@click.option("--batch", "file", metavar="FILE|-", help="Instead of KIND: runs of a file, a JSON list or one a line.")
@click.option("--wait", is_flag=True, help="Stay until the run ends; exit 0 only if it completed.")
@tenant_option
def submit(
    kind: str | None, words: Sequence[str], idempotency_key: str | None, file: str | None, wait: bool, **options: Any
) -> int:
    """Ask for a run of KIND, or with --batch for many.

    It starts now, waits in line, or is refused: then the reason, when to come back and the receipt are said.

    WORDS are short for the input of two kinds: for `command` its name and arguments, for `git` the URL and the ref. Put
    `--` before them when one begins with a dash.

    --batch asks for every run of a file, as they stand in the API (with an idempotencyKey of its own if you like); each
    has an answer of its own. Exits 1 if any was refused.
    """
    if file is not None:
        if kind is not None or wait or idempotency_key or any(value not in (None, ()) for value in options.values()):
            raise click.UsageError("--batch goes alone: the file says everything.")
        return _batch(file)
    if kind is None:
        raise click.UsageError("Missing argument 'KIND'.")
    session = current()
    body = _body(kind, words, options, session.timing.wall_ms())
    # A key of our own makes it safe to send again what got no answer.
    key = idempotency_key or sources.RandomIds().new("cli")
    with session.client() as client:
        run = client.post(client.path("runs"), body, {"Idempotency-Key": key})
        if wait:
            run = _wait(session, client, run)
    if session.as_json:
        output.document(run)
    else:
        _tell(run)
    return Exit.OK


def _batch(file: str) -> int:
    session = current()
    runs = batch.read_runs(file)
    with session.client() as client:
        found = batch.submit_all(client, runs, lambda: sources.RandomIds().new("cli"))
    if session.as_json:
        output.document(found)
    else:
        rows = (batch.row(number, item) for number, item in enumerate(found["items"], 1))
        output.table(("#", "STATUS", "RUN", ""), rows)
    return Exit.FAILED if any(item["status"] >= 400 for item in found["items"]) else Exit.OK


def _body(kind: str, words: Sequence[str], options: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    input_ = {
        **values.read_input(options["input_"]),
        **_from_words(kind, words),
        **values.read_arguments(options["arguments"]),
    }
    limits = {"memoryBytes": options["memory"], "durationSeconds": options["duration"], "cpuCores": options["cpu"]}
    body = {
        "kind": kind,
        "input": input_,
        "repo": options["repo"],
        "user": options["user"],
        "priority": values.read_priority(options["priority"]),
        "labels": values.read_labels(options["labels"]),
        "limits": _said(limits),
        "onLimit": options["on_limit"],
        "concurrencyKey": options["concurrency_key"],
        "notBefore": values.read_time(options["not_before"], now_ms, "--not-before"),
        "startBy": values.read_time(options["start_by"], now_ms, "--start-by"),
    }
    return {"kind": kind, "input": input_, **_said(body)}


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, {})}


def _from_words(kind: str, words: Sequence[str]) -> dict[str, Any]:
    if not words:
        return {}
    if kind == "command":
        return {"command": words[0], "args": list(words[1:])}
    if kind == "git" and len(words) <= 2:
        return dict(zip(("url", "ref"), words, strict=False))
    raise click.UsageError(f"{' '.join(words)!r}: a run of {kind} takes its input from --input and --arg.")


def _wait(session: Session, client: Client, run: Run) -> Run:
    if not session.as_json:
        output.say(f"{run['runId']} {standing(run)}")
    ended = until_end(client, str(run["runId"]), session.timing, on_event=lambda event: None)
    must_be_completed(ended)
    return ended


def _tell(run: Run) -> None:
    """Where it stands, what came of it, and how to go on."""
    output.say(f"{run['runId']} {standing(run)}")
    output.facts((run.get("result") or {}).items())
    output.facts([("receipt", run.get("receiptId"))])
