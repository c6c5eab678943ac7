"""One suite, run in a copy of the repository: `python -m tests.mutants.suite TREE ARGUMENT…`, the answer on the last line.

A bug is caught when a test *fails*, or a proof finds a broken promise. What cannot even be imported, collected or set up,
and what hangs, is broken in another way: that is no catch, for anybody would see it.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest

PASSED, CAUGHT, BROKEN = "passed", "caught", "broken"
Answer = tuple[str, str]
"""What came of it, and the words: which test failed and how."""

NO_CATCH = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "Failed: Timeout")
QUICK = ("-q", "-x", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-p", "no:rerunfailures", "-p", "no:xdist")
TEST_SECONDS = 90


class Watch:
    """A pytest plugin: the first test that failed as a test, and the first thing that went wrong otherwise."""

    def __init__(self) -> None:
        self.ran = 0
        self.failed: str | None = None
        self.broken: str | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        """The marker of the plugin that is left out here: what fails, fails at once."""
        config.addinivalue_line("markers", "flaky: runs once here")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken = self.broken or f"{report.nodeid}: {report.longrepr}"[-300:]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call" and not report.skipped
        if not report.failed:
            return
        said = f"{report.nodeid}: {_reason(report)}"
        if _a_test_failed(report):
            self.failed = self.failed or said
        else:
            self.broken = self.broken or f"{report.when} of {said}"


def _a_test_failed(report: pytest.TestReport) -> bool:
    """In its body, or (many end with a recount of everything) in what is asserted after it."""
    reason = _reason(report)
    after = report.when == "teardown" and reason.startswith(("AssertionError", "assert "))
    return (report.when == "call" and not reason.startswith(NO_CATCH)) or after


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join(str(crash.message if crash else report.longrepr).split())[:200]


def pytest_suite(arguments: list[str]) -> Answer:
    """Run pytest here."""
    watch = Watch()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main([*QUICK, f"--timeout={TEST_SECONDS}", *arguments], plugins=[watch])
    if watch.failed is not None and code == pytest.ExitCode.TESTS_FAILED:
        return CAUGHT, watch.failed
    if code == pytest.ExitCode.OK and watch.ran:
        return PASSED, f"{watch.ran} tests"
    return BROKEN, watch.broken or f"pytest ended with {int(code)} after {watch.ran} tests: {said.getvalue()[-300:]}"


def proof(arguments: list[str]) -> Answer:
    """Run `headgate verify` here."""
    from headgate.cli import main

    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(["--json", "verify", *arguments])
    lines = said.getvalue().splitlines()
    figures = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if code == 0 and figures.get("ok") is True:
        return PASSED, "every promise was kept"
    if code == 1 and figures.get("ok") is False:
        return CAUGHT, _broken_promise(figures)
    return BROKEN, f"headgate verify {' '.join(arguments)} ended with {code}"


def _broken_promise(figures: dict) -> str:
    races = [found for race in figures.get("races", ()) for found in race["violations"]]
    found = figures.get("violations") or figures.get("details") or races
    return f"verify: {found[0] if isinstance(found, list) and found else figures}"[:200]


def run(tree: Path, arguments: list[str]) -> Answer:
    """The suite's answer, if it is the copy that is being tested."""
    import headgate

    source = Path(headgate.__file__ or "").resolve()
    if not source.is_relative_to(tree.resolve()):
        return BROKEN, f"not the copy is imported but {source}"
    return proof(arguments[1:]) if arguments[0] == "verify" else pytest_suite(arguments)


if __name__ == "__main__":
    outcome, words = run(Path(sys.argv[1]), sys.argv[2:])
    print(json.dumps({"outcome": outcome, "words": words}))
