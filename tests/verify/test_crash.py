"""The crash machine, small: kills at every kind of point lose nothing, and its negative control is caught."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from headgate.core.errors import InvalidRequest
from headgate.verify.crash import run_crash


def test_kills_lose_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    schedule, seen = tmp_path / "kills.json", []
    report = run_crash(
        store="sqlite", seed=3, n=12, schedule=schedule, progress=lambda done, total: seen.append((done, total))
    )
    assert report.ok, report.as_json()
    assert report.kills >= 9
    assert {"statement", "recovery"} <= set(report.by_point)
    if shutil.which("strace"):
        assert report.by_point["pwrite64"] > 0
    assert seen[-1] == (len(seen), len(seen))
    saved = json.loads(schedule.read_text())
    schedule.write_text(json.dumps({**saved, "kills": saved["kills"][:2]}))
    again = run_crash(store="sqlite", seed=99, n=500, schedule=schedule)
    assert (again.seed, again.kills, again.ok) == (3, 2, True)


def test_writes_without_a_transaction_are_caught() -> None:
    report = run_crash(store="sqlite", seed=3, n=18, mutant="no-transaction")
    assert not report.ok
    assert report.details


@pytest.mark.parametrize("content", ["", "[]", '{"store": "sqlite", "seed": 1, "kills": [{"at": "x"}]}'])
def test_a_schedule_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    schedule = tmp_path / "kills.json"
    schedule.write_text(content)
    with pytest.raises(InvalidRequest, match="no schedule"):
        run_crash(store="sqlite", seed=1, n=1, schedule=schedule)


def test_only_known_stores_and_mutants() -> None:
    with pytest.raises(InvalidRequest, match="store"):
        run_crash(store="redis", seed=1, n=1)
    with pytest.raises(InvalidRequest, match="mutant"):
        run_crash(store="sqlite", seed=1, n=1, mutant="no-sun")
