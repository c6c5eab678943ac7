"""docs/hazards.md speaks of files, functions and tests that exist, and of every test file here."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "hazards.md"
LATER = {"H14", "H15", "H16", "H22"}
REFERENCE = re.compile(r"`([\w./]+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    """The table's rows as lists of cells, without its head."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


ROWS = [row for row in rows() if row[0] not in LATER]


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def absent(cell: str, below: Path) -> list[str]:
    found = REFERENCE.findall(cell)
    assert found, f"names nothing: {cell!r}"
    return [
        f"{file}::{name}" for file, name in found if not (below / file).is_file() or name not in functions(below / file)
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_what_the_table_names_exists(row: list[str]):
    _, hazard, practice, where, test, control = row
    assert hazard
    assert practice
    assert absent(where, ROOT / "services" / "headgate") == []
    assert absent(test, Path(__file__).parent) == []
    assert absent(control, Path(__file__).parent) == []
    assert "::test_control_" in control
    assert "::test_control_" not in test


def test_every_hazard_stands_in_it_and_every_file_too():
    assert {row[0] for row in rows()} == {f"H{number}" for number in range(1, 23)} | {""}
    named = {file for row in ROWS for file, _ in REFERENCE.findall(row[4])}
    here = {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
    assert named == here


def test_every_file_has_its_controls():
    for path in Path(__file__).parent.glob("test_*.py"):
        if path != Path(__file__):
            assert any(name.startswith("test_control_") for name in functions(path)), path.name


def test_other_tests_that_the_page_names_exist():
    for name in re.findall(r"`(tests/[\w./]+\.py)`", PAGE.read_text("utf-8")):
        assert (ROOT / name).is_file(), name


def test_control_a_name_that_does_not_exist_is_noticed():
    assert absent(
        "`flow/work.py::claim`, `flow/work.py::claims`, `flow/wok.py::claim`", ROOT / "services/headgate"
    ) == [
        "flow/work.py::claims",
        "flow/wok.py::claim",
    ]
