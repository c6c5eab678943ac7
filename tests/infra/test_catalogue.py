"""The catalogue of alerts: its schema, its runbooks, its first commands; and the README that is made from the module."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # published without types

from headgate.cli.app import headgate
from headgate.cli.session import Session
from tests.infra import metrics_file, metrics_page, readme
from tests.infra.reading import INFRA, Infra, read

RUNBOOKS = INFRA.parent / "runbooks"
SCHEMA = json.loads((INFRA / "alerts" / "catalogue.schema.json").read_text())

NOT_WRITTEN_YET = {
    "api-down", "capacity", "dlq-triage", "drain", "fairness", "firestore", "message-loss", "publish-errors", "push-errors",
    "queue-backlog", "rejections", "run-failures", "run-resources", "slo-burn", "slot-leak", "slow-runs", "slow-start",
    "sweep-stalled", "tenant-pause",
}  # fmt: skip
"""Runbooks that alerts name and nobody has written. It only shrinks: what is written must be taken off."""


@pytest.fixture(scope="module")
def infra() -> Infra:
    return read()


def test_it_keeps_its_schema(infra: Infra) -> None:
    problems = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(infra.alerts)]
    assert problems == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("severity: CRITICAL", "severity: HIGH"),
        ("  kind: log\n", "  kind: promql\n"),
        ("  runbook: drain\n", ""),
        ("  slo: api\n", "  slo: apis\n"),
        ("threshold: ${pending_requests}", "threshold: many"),
        ('look: ["headgate mode"]', 'look: ["rm -rf ."]'),
        ("  why: Soon everybody waits.\n", "  why: Soon everybody waits.\n  wy: x\n"),
    ],
)
def test_the_schema_sees_a_mistake(infra: Infra, before: str, after: str) -> None:
    changed = infra.with_change("alerts/catalogue.yaml", before, after)
    assert not Draft202012Validator(SCHEMA).is_valid(changed.alerts)


def test_a_name_that_nobody_gives_is_noticed(infra: Infra) -> None:
    with pytest.raises(KeyError, match="queue_deep_threshold"):
        _ = infra.with_change("alerts/catalogue.yaml", "${queue_depth_threshold}", "${queue_deep_threshold}").alerts


def test_every_runbook_is_there_or_listed_as_missing(infra: Infra) -> None:
    named = {entry["runbook"] for entry in infra.alerts}
    written = {path.stem for path in RUNBOOKS.glob("*.md")}
    assert named - written == NOT_WRITTEN_YET & named, "a runbook is missing, or was written: see NOT_WRITTEN_YET"
    assert named >= NOT_WRITTEN_YET, "NOT_WRITTEN_YET names what no alert does"


def wrong(words: list[str]) -> str | None:
    """What is wrong with a command of ours, as the real command line has it; None = nothing. It is not run."""
    command: click.Command = headgate
    context = click.Context(headgate, obj=Session())
    try:
        while isinstance(command, click.Group) and (words or not command.invoke_without_command):
            found = command.get_command(context, words[0]) if words else None
            if found is None:
                return f"there is no command {words[:1]}"
            command, words = found, words[1:]
        command.make_context(command.name or "", list(words), parent=context)
    except click.ClickException as problem:
        return problem.format_message()
    return None


def test_what_to_look_at_first_are_commands_that_exist(infra: Infra) -> None:
    for entry in infra.alerts:
        for line in entry["look"]:
            program, *words = shlex.split(line)
            if program == "headgate":
                assert wrong(words) is None, f"{entry['id']}: {line}: {wrong(words)}"
            else:
                assert re.fullmatch(r"[a-z-]+", words[0]), line


@pytest.mark.parametrize("line", ["drain status", "dlq lst", "runs --stat running", "audit --repair-all"])
def test_a_command_that_is_none_is_noticed(line: str) -> None:
    assert wrong(shlex.split(line)) is not None


def test_metrics_yaml_is_the_codes_table() -> None:
    assert metrics_file.FILE.read_text() == metrics_file.rendered(), "python -m tests.infra.metrics_file"


def test_the_page_of_metrics_is_up_to_date(infra: Infra) -> None:
    assert metrics_page.FILE.read_text() == metrics_page.rendered(infra), "python -m tests.infra.metrics_page"


def test_the_readme_is_up_to_date(infra: Infra) -> None:
    assert readme.FILE.read_text() == readme.rendered(infra), "python -m tests.infra.readme"


def test_the_readme_lists_every_file(infra: Infra) -> None:
    text = infra.texts["README.md"]
    assert [name for name in infra.files if f"`{Path(name).name}`" not in text] == []


def test_a_change_makes_the_readme_old(infra: Infra) -> None:
    for file, before, after in (
        ("variables.tf", "optional(number, 86400)", "optional(number, 86401)"),
        ("outputs.tf", "Where the API is.", "Where it is."),
        ("alerts/catalogue.yaml", "severity: CRITICAL", "severity: ERROR"),
    ):
        changed = infra.with_change(file, before, after)
        assert readme.rendered(changed) != infra.texts["README.md"]
