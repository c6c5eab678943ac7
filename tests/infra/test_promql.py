"""The PromQL alerts in Prometheus's own engine: they fire when they must and are silent when they must not.

It is the same language, not the same system: how Cloud Monitoring treats gaps and deltas is not shown by it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.promql_cases import CASES, Case
from tests.infra.reading import Infra, read


@pytest.fixture
def promtool() -> str:
    """The program (Debian: prometheus); where it is absent the test is skipped, or fails where CI is set."""
    found = shutil.which("promtool")
    if found is None:
        absent = "promtool is not on PATH: the PromQL alerts are not tried"
        if os.environ.get("CI"):
            pytest.fail(absent)
        pytest.skip(absent)
    return found


def queries(infra: Infra) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in infra.alerts if entry["kind"] == "promql"}


def rules(infra: Infra, *only: str) -> dict[str, Any]:
    """The alerts, or only these, as Prometheus's rules."""
    found = [
        {"alert": id, "expr": entry["query"], "for": entry["for"], "labels": {"severity": entry["severity"]}}
        for id, entry in queries(infra).items()
        if not only or id in only
    ]
    return {"groups": [{"name": "headgate", "rules": found}]}


def promtool_test(case: Case) -> dict[str, Any]:
    firing = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}})'
    return {
        "interval": "1m",
        "name": f"{case.alert} {'fires' if case.fires else 'is silent'}",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f"{firing} > bool 0",
                "eval_time": f"{case.at}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if case.fires else [],
            }
        ],
    }


def tried(promtool: str, folder: Path, infra: Infra, alerts: Collection[str]) -> subprocess.CompletedProcess[str]:
    """The cases of these alerts, each against its own rule alone: with all of them it would take minutes."""
    for id in alerts:
        (folder / f"{id}.rules.yaml").write_text(yaml.safe_dump(rules(infra, id), width=10_000))
        tests = [promtool_test(case) for case in CASES if case.alert == id]
        content = {"rule_files": [f"{id}.rules.yaml"], "evaluation_interval": "1m", "tests": tests}
        (folder / f"{id}.yaml").write_text(yaml.safe_dump(content, width=10_000))
    command = [promtool, "test", "rules", *(f"{id}.yaml" for id in alerts)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


def test_they_are_promql(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules(read()), width=10_000))
    command = [promtool, "check", "rules", "rules.yaml"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(queries(read()))} rules found" in found.stdout


def test_they_fire_and_are_silent(promtool: str, tmp_path: Path) -> None:
    found = tried(promtool, tmp_path, read(), queries(read()))
    assert found.returncode == 0, found.stdout + found.stderr


def test_each_has_both_cases() -> None:
    """This needs no promtool: what is not tried is not trusted."""
    for id in queries(read()):
        assert {case.fires for case in CASES if case.alert == id} == {True, False}, id


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("unless on() (max(custom_googleapis_com:headgate_drain_mode) > 0)", ""),  # wakes people while it drains
        (">= ${decisions_at_least}", ">= 0"),  # one of two
        ('reason!~"${not_rejections}"', 'reason!~"X"'),  # a pause is no rejection
        ("[10m])) > 0)\n  for: 300s", "[10m])) >= 0)\n  for: 300s"),  # a worker that answers nothing is there too
        ("absent_over_time", "present_over_time"),
        ('database_id="${database}", response_code=~"UNAVAILABLE|', 'database_id="${database}", response_code!~"OK|'),
        ("(max(custom_googleapis_com:headgate_drain_mode) == 1)", "(max(custom_googleapis_com:headgate_drain_mode) >= 1)"),
        ('slots_in_use{scope="system"}) / max(custom_googleapis_com:headgate_slots_limit{scope="system"})',
         "slots_in_use) / max(custom_googleapis_com:headgate_slots_limit{scope=~\"kind:.*\"})"),
        ("headgate_slot_drift) > 0\n  for: 600s", "headgate_slot_drift) > 0\n  for: 120s"),
        ("> ${push_deadline_share} * ${ack_deadline_microseconds}", "> ${push_deadline_share} * 600"),  # seconds?
        ("/ sum(rate(firestore_googleapis_com", "* sum(rate(firestore_googleapis_com"),
    ],
)  # fmt: skip
def test_a_mistake_is_seen(promtool: str, tmp_path: Path, before: str, after: str) -> None:
    wrong = read().with_change("alerts/catalogue.yaml", before, after)
    right = queries(read())
    changed = [id for id, entry in queries(wrong).items() if entry != right[id]]
    found = tried(promtool, tmp_path, wrong, changed)
    assert found.returncode != 0
    assert "FAILED" in found.stdout + found.stderr


def test_ci_gets_the_program() -> None:
    assert "[promtool]=prometheus" in (Path(__file__).parents[2] / ".ci" / "run").read_text()
