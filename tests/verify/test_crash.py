"""The crash machine, small: kills at every kind of point lose nothing, and its negative control is caught."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from headgate.core.errors import InvalidRequest
from headgate.verify import crash
from headgate.verify.crash import run_crash
from headgate.verify.crash_plan import Points, draw
from headgate.verify.crash_points import Points as CrashPoints


def test_kills_lose_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    schedule, seen = tmp_path / "kills.json", []
    report = run_crash(
        store="sqlite", seed=3, n=12, schedule=schedule, progress=lambda done, total: seen.append((done, total))
    )
    assert report.ok, report.as_json()
    assert report.kills >= 9
    assert {"statement", "recovery"} <= set(report.by_point)
    statements = report.coverage["statements"]
    assert 0 < statements["covered"] < statements["of"]
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


KILL = {"at": "statement", "n": 1, "recovery": "lease"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "cannot be read as JSON"),
        ("[]", "the whole must be an object"),
        ({"store": 1, "seed": 1, "kills": [KILL]}, "store"),
        ({"store": "sqlite", "seed": True, "kills": [KILL]}, "seed"),
        ({"store": "sqlite", "seed": 1, "kills": []}, "kills"),
        (
            {"store": "sqlite", "seed": 1, "kills": [KILL, {"at": "x", "recovery": "lease"}]},
            r"kills\[1\]\.n is missing",
        ),
        ({"store": "sqlite", "seed": 1, "kills": [{**KILL, "when": 3}]}, r"kills\[0\]\.when is unknown"),
        ({"store": "sqlite", "seed": 1, "kills": [{**KILL, "n": "3"}]}, r"kills\[0\]\.n must be a whole number"),
        ({"store": "sqlite", "seed": 1, "kills": [{**KILL, "recovery": "prayer"}]}, r"recovery must be one of"),
    ],
)
def test_a_schedule_that_is_none_is_refused_by_its_field(tmp_path: Path, content: object, named: str) -> None:
    schedule = tmp_path / "kills.json"
    schedule.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InvalidRequest, match=named):
        run_crash(store="sqlite", seed=1, n=1, schedule=schedule)


def test_without_a_number_every_point_is_drawn_once() -> None:
    """Statements that are not fresh are covered by the fresh one before them, and the count says so."""
    counted = {
        "scene": {
            "statement": 9,
            "statement: fresh": 3,
            "write": 1,
            "finish: after commit": 2,
            "finish: after read": 7,
        },
        "recovery": {"statement: fresh": 2},
        "stands_for": [4, 4, 1],
        "middle": {"at": "statement: fresh", "n": 2},
        "syscalls": {"pwrite64": 1000},
    }
    points = Points.of(counted)
    kills = draw(points, "sqlite", 1, None, None).kills
    assert {(kill.at, kill.n) for kill in kills if not kill.again} >= {*points.statements, *points.named}
    assert [(kill.at, kill.n, kill.again) for kill in kills[-2:]] == [
        ("statement: fresh", 2, 1),
        ("statement: fresh", 2, 2),
    ]
    assert points.coverage(kills) == {
        "statements": {"of": 9, "covered": 9}, "named": {"of": 2, "covered": 2}, "recovery": {"of": 2, "covered": 2}
    }  # fmt: skip
    assert points.coverage(kills[:1])["statements"] == {"of": 9, "covered": 4}


def test_without_a_number_it_ends_in_time_and_says_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "MOST_SECONDS", 0.1)  # over when the points have been counted
    monkeypatch.setattr(crash, "LANES", {"sqlite": 1})
    report = run_crash(store="sqlite", seed=3)
    assert (report.kills, report.ok) == (0, False)
    assert report.left_out > 1000
    assert report.coverage["statements"]["covered"] == 0


def test_a_statement_is_fresh_after_anything_but_a_read() -> None:
    points = CrashPoints()
    for statement in ("SELECT 1", "SELECT 2", "BEGIN IMMEDIATE", "INSERT …", "COMMIT", "SELECT 3"):
        points.statement(statement)
    points.told()
    points.statement("SELECT 4")
    assert points.stands_for == [3, 1, 1, 1, 1]
    assert points.passed["statement"] == sum(points.stands_for)


def test_only_known_stores_and_mutants() -> None:
    with pytest.raises(InvalidRequest, match="store"):
        run_crash(store="redis", seed=1, n=1)
    with pytest.raises(InvalidRequest, match="mutant"):
        run_crash(store="sqlite", seed=1, n=1, mutant="no-sun")
