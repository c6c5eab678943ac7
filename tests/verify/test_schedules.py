"""Schedules of races and deliveries: written when there is none, repeated when there is one, refused by the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headgate.core.errors import InvalidRequest
from headgate.verify.decisions import KINDS, Decisions
from headgate.verify.deliveries import run_deliveries
from headgate.verify.ground import Ground
from headgate.verify.races import load, run_races

CALLER = {"process": 1, "after": 0.5}
RACE = {"plan": "free", "callers": [CALLER]}


def test_races_are_repeated(tmp_path: Path) -> None:
    ground, file = Ground(folder=tmp_path), tmp_path / "races.json"
    assert run_races(ground, 7, 12, schedule=file).ok
    drawn = load(file)
    assert {plan: len(callers) for plan, callers in drawn.items()} == {"free": 12, "pro": 12, "enterprise": 12}
    file.write_text(json.dumps({"races": [{**RACE, "callers": [{"process": 1, "after": 0.0}] * 9}]}))
    again = run_races(ground, 7, 12, schedule=file)
    assert [(race.cap, race.submitters, race.admitted) for race in again.races] == [(1, 9, 1)]
    assert again.ok


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "cannot be read as JSON"),
        ([], "the whole must be an object of races"),
        ({}, "races is missing"),
        ({"races": []}, "races must be a list of at least 1"),
        ({"races": [{"plan": "free"}]}, r"races\[0\]\.callers is missing"),
        ({"races": [{**RACE, "plan": "gold"}]}, r"races\[0\]\.plan must be one of free, pro, enterprise, not .gold."),
        ({"races": [RACE, RACE]}, r"races\[1\]\.plan is raced for twice"),
        (
            {"races": [{**RACE, "callers": [CALLER, {**CALLER, "process": 2}]}]},
            r"callers\[1\]\.process must be a whole",
        ),
        ({"races": [{**RACE, "callers": [{**CALLER, "after": -1}]}]}, r"callers\[0\]\.after must be a number"),
        ({"races": [{**RACE, "callers": [{**CALLER, "cap": 3}]}]}, r"callers\[0\]\.cap is unknown"),
    ],
)
def test_bad_races_are_refused_by_their_field(tmp_path: Path, content: object, named: str) -> None:
    file = tmp_path / "races.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InvalidRequest, match=named):
        run_races(Ground(folder=tmp_path), 1, 2, schedule=file)


def test_deliveries_are_repeated_decision_by_decision(tmp_path: Path) -> None:
    ground, file = Ground(folder=tmp_path), tmp_path / "deliveries.json"
    first = run_deliveries(ground, 3, 120, schedule=file)
    assert first.ok, first.violations
    written = json.loads(file.read_text())
    assert (written["seed"], written["n"]) == (3, 120)
    assert all(written[kind] for kind in KINDS)
    again = run_deliveries(ground, 99, 1, schedule=file)
    assert again.ok, again.violations
    assert again.runs == first.runs == 30
    assert json.loads(file.read_text()) == written


def test_given_decisions_come_first_and_then_the_seed(tmp_path: Path) -> None:
    file = tmp_path / "deliveries.json"
    given = {
        "publications": [0, 3],
        "order": [0.25],
        "attempts": ["stall", "twice fail"],
        "late": [{"which": 0.5, "forged": "run"}],
    }
    file.write_text(json.dumps({"seed": 5, "n": 4, **given}))
    read, drawn = Decisions.load(file), Decisions(seed=5, n=4)
    assert [read.copies(), read.copies(), read.copies()] == [0, 3, drawn.copies()]
    assert (read.place(), read.late()) == (0.25, (0.5, "run"))
    assert [read.attempt(), read.attempt()] == [{"stall"}, {"fail", "twice"}]
    read.save(file)
    assert json.loads(file.read_text())["late"] == given["late"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seed": "x"}, "seed must be a whole number"),
        ({"n": 0}, "n must be a whole number from 1"),
        ({"publications": [1, -1]}, r"publications\[1\] must be a whole number from 0 to 100, not -1"),
        ({"order": [1]}, r"order\[0\] must be a number from 0 on and below 1"),
        ({"order": [float("nan")]}, r"order\[0\] must be a number"),
        ({"attempts": ["stall", "sleep"]}, r"attempts\[1\] must be a text of none or some of stall, fail, twice"),
        ({"late": [{"which": 0, "forged": "name"}]}, r"late\[0\]\.forged must be one of fence, run"),
        ({"late": [0.5]}, r"late\[0\] must be an object"),
        ({"extra": 1}, "extra is unknown"),
    ],
)
def test_bad_deliveries_are_refused_by_their_field(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    file = tmp_path / "deliveries.json"
    file.write_text(json.dumps({"seed": 1, "n": 4, **fields}))
    with pytest.raises(InvalidRequest, match=named):
        run_deliveries(Ground(folder=tmp_path), 1, 4, schedule=file)
