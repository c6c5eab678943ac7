"""Runs mutants: each in a copy of the repository, its suite in a process of its own, two at a time.

First every suite must pass without any bug: otherwise its failure would say nothing about a mutant.
"""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import queue
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.mutants.mutant import Mutant, Stale
from tests.mutants.suite import BROKEN, CAUGHT, PASSED

ROOT = Path(__file__).parents[2]
COPIED = ("services", "tests", "pyproject.toml", "README.md", "docs", "infra")
SIDE_BY_SIDE = 2
SUITE_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a suite: with a mutant in the source, or (the control) without."""

    name: str
    suite: str
    outcome: str
    words: str
    seconds: float


Tell = Callable[[Result], None]
Trees = queue.SimpleQueue[Path]


def run(mutants: Sequence[Mutant], tell: Tell = lambda result: None, root: Path = ROOT) -> list[Result]:
    """Each mutant's result; one whose suite fails without it, too, is broken. Raises Stale before anything is run."""
    problems = [said for mutant in mutants if (said := _stale(mutant, root))]
    if problems:
        raise Stale("\n".join(problems))
    with _trees(root, min(SIDE_BY_SIDE, len(mutants))) as trees, ThreadPoolExecutor(trees.qsize()) as threads:
        suites = list(dict.fromkeys(mutant.suite for mutant in mutants))
        controls = dict(
            zip(suites, threads.map(lambda suite: _told(_control(trees, suite), tell), suites), strict=True)
        )
        return list(threads.map(lambda mutant: _told(_tried(trees, mutant, controls[mutant.suite]), tell), mutants))


def _tried(trees: Trees, mutant: Mutant, control: Result) -> Result:
    if control.outcome != PASSED:
        return replace(control, name=mutant.name, outcome=BROKEN, words=f"fails without it: {control.words}")
    return _mutated(trees, mutant)


def _stale(mutant: Mutant, root: Path) -> str | None:
    try:
        mutant.applied(mutant.path(root).read_text("utf-8"))
    except (Stale, OSError) as stale:
        return str(stale)
    return None


def _told(result: Result, tell: Tell) -> Result:
    tell(result)
    return result


@contextmanager
def _trees(root: Path, count: int) -> Iterator[Trees]:
    """Copies to work in. Compiled by content: by time, a change within the same second would go unnoticed."""
    trees: Trees = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="headgate-mutants-") as folder:
        for number in range(count):
            tree = Path(folder) / f"tree{number}"
            _copy(root, tree)
            trees.put(tree)
        yield trees


def _copy(root: Path, tree: Path) -> None:
    tree.mkdir()
    for name in COPIED:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        elif source.exists():
            shutil.copy2(source, tree / name)
    by_content = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(tree / "services", quiet=1, invalidation_mode=by_content)


def _control(trees: Trees, suite: str) -> Result:
    """A suite without any bug. Of real processes and real time one may fail on a busy machine: it has a second try."""
    tree = trees.get()
    try:
        first = _run(tree, "", suite)
        return first if first.outcome == PASSED else _run(tree, "", suite)
    finally:
        trees.put(tree)


def _mutated(trees: Trees, mutant: Mutant) -> Result:
    tree = trees.get()
    file = mutant.path(tree)
    whole = file.read_text("utf-8")
    try:
        file.write_text(mutant.applied(whole), "utf-8")
        return _run(tree, mutant.name, mutant.suite)
    finally:
        file.write_text(whole, "utf-8")
        trees.put(tree)


def _run(tree: Path, name: str, suite: str) -> Result:
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.mutants.suite", str(tree), *shlex.split(suite)]
    process = subprocess.Popen(
        command, cwd=tree, env=_environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=SUITE_SECONDS)
        outcome, words = _answer(said)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        outcome, words = BROKEN, f"did not end within {SUITE_SECONDS:g} s"
    return Result(name, suite, outcome, words, round(time.monotonic() - began, 1))


def _answer(said: str) -> tuple[str, str]:
    lines = said.strip().splitlines()
    try:
        answer = json.loads(lines[-1])
        return answer["outcome"], answer["words"]
    except (IndexError, ValueError, TypeError, KeyError):
        return BROKEN, f"said no outcome: {said[-300:]!r}"


def _environment(tree: Path) -> dict[str, str]:
    """Ours, but the copy is what is imported, nothing is compiled to files, and nobody measures coverage."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST", "PYTHON"))}
    path = os.pathsep.join((str(tree / "services"), str(tree)))
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def caught(result: Result) -> bool:
    """Whether a mutant's suite has failed as it should."""
    return result.outcome == CAUGHT
