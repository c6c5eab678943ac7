"""The runner itself: some real mutants are caught, one that changes nothing survives and is told, a stale one is an error."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.mutants import __main__ as command
from tests.mutants.catalogue import CATALOGUE
from tests.mutants.mutant import Mutant, Stale
from tests.mutants.runner import ROOT, Result, Tell, run
from tests.mutants.suite import BROKEN, CAUGHT, PASSED

BY_NAME = {mutant.name: mutant for mutant in CATALOGUE}
SAMPLE = ("one-attempt-too-many", "no-fence-at-finish", "full-one-too-late")
LEASES = "tests/core/test_leases.py"
EQUIVALENT = Mutant(
    "the-other-way-round",
    "Nothing: the same said otherwise.",
    "core/leases.py",
    "return run.attempt < run.max_attempts",
    "return not run.max_attempts <= run.attempt",
    LEASES,
)
NO_PROGRAM = replace(EQUIVALENT, name="no-program", new="return run.attempt < run.most_atempts[")
UNKNOWN_NAME = replace(EQUIVALENT, name="unknown-name", new="return attempt < run.max_attempts")


def test_the_catalogue_fits_the_code_and_every_mutant_is_a_program() -> None:
    for mutant in CATALOGUE:
        source = mutant.path(ROOT).read_text("utf-8")
        compile(mutant.applied(source), mutant.file, "exec")
    assert len(BY_NAME) == len(CATALOGUE) >= 36


@pytest.mark.timeout(300)
def test_bugs_are_caught_and_what_is_none_survives(capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be imported, or only trips over a name, proves nothing about the suite: that is no catch."""
    told: list[Result] = []
    results = run([*(BY_NAME[name] for name in SAMPLE), EQUIVALENT, NO_PROGRAM, UNKNOWN_NAME], told.append)
    outcomes = {result.name: result.outcome for result in results}
    assert outcomes == dict.fromkeys(SAMPLE, CAUGHT) | {
        EQUIVALENT.name: PASSED, NO_PROGRAM.name: BROKEN, UNKNOWN_NAME.name: BROKEN
    }, results  # fmt: skip
    controls = [result for result in told if not result.name]
    assert {result.suite for result in controls} == {LEASES, *(BY_NAME[name].suite for name in SAMPLE)}
    assert {result.outcome for result in controls} == {PASSED}
    command.table(results)
    assert sum("SURVIVED" in line and EQUIVALENT.name in line for line in capsys.readouterr().out.splitlines()) == 1


def test_a_stale_text_is_an_error_before_anything_runs() -> None:
    gone = replace(EQUIVALENT, old="return run.attempt << run.max_attempts")
    twice = replace(EQUIVALENT, name="twice", old="run")
    nothing = replace(EQUIVALENT, name="nothing", new=EQUIVALENT.old)
    told: list[Result] = []
    with pytest.raises(Stale) as stale:
        run([BY_NAME[SAMPLE[0]], gone, twice, nothing], told.append)
    assert str(stale.value).count("\n") == 2
    assert told == []


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def ran(mutants: list[Mutant], tell: Tell) -> list[Result]:
        outcomes = {SAMPLE[0]: PASSED}
        return [Result(m.name, m.suite, outcomes.get(m.name, CAUGHT), "words", 1.0) for m in mutants]

    monkeypatch.setattr(command, "run", ran)
    assert command.main([SAMPLE[1]]) == 0
    assert command.main([*SAMPLE, "--json"]) == 1
    out = capsys.readouterr().out
    figures = json.loads(out.splitlines()[-1])
    assert (figures["survivors"], figures["ok"]) == ([SAMPLE[0]], False)
    assert "SURVIVED" in out
    with pytest.raises(SystemExit) as usage:
        command.main(["no-such-mutant"])
    assert usage.value.code == 2
