"""headgate verify: figures, exit codes, and that a broken promise is told with the way to see it again."""

import json
import sys

import pytest

from headgate.cli.commands import verify as commands
from headgate.flow import ledger, work
from headgate.verify import deliveries, goals, races
from headgate.verify.deliveries import Deliveries
from headgate.verify.goals import ENOUGH, GOALS
from headgate.verify.ground import Ground
from headgate.verify.histories import Tally, carry_out
from headgate.verify.mixes import MIXES
from headgate.verify.scenarios import SCENARIOS
from headgate.verify.sim_plan import Plan
from headgate.verify.simulation import History, simulate


def last(result):
    return json.loads(result.out.splitlines()[-1])


def digest(*seeds):
    """Of histories made in this process."""
    tally = Tally()
    for history in carry_out(Plan.of_seeds(seeds), Ground(), 1):
        tally.add(history)
    return tally.digest


def test_sim_is_the_same_every_time_and_whatever_process_makes_it(cli):
    result = cli("--json", "verify", "sim", "--seeds", "4", "--scenarios", "2")
    assert result.code == 0, result.err
    figures = last(result)
    assert (figures["seeds"], figures["violations"], figures["ok"]) == (4, [], True)
    assert figures["steps"] >= 4 * 200
    assert figures["stepsMin"] >= 200
    assert min(figures["secondsPerSeed"], figures["seedsPerSecond"], figures["cpuSecondsPerSeed"]) > 0
    assert (figures["scenarios"]["searched"], figures["scenarios"]["schedules"]) == (len(SCENARIOS), 2 * len(SCENARIOS))
    assert figures["digest"] == digest(1, 2, 3, 4) != digest(2, 3, 4, 5)


@pytest.mark.emulators
def test_firestore_makes_the_same_history(cli, firestore_emulator, monkeypatch):
    """One semantics, two stores: the very same steps, write by write."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    result = cli("--json", "verify", "sim", "--store", "firestore", "--seeds", "1", "--seed-base", "3")
    assert result.code == 0, result.out
    assert last(result)["digest"] == digest(3)


@pytest.mark.emulators
def test_races_on_firestore(cli, firestore_emulator, monkeypatch):
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    result = cli("--json", "verify", "races", "--store", "firestore", "--n", "30")
    assert result.code == 0, result.out


def test_sim_for_people(cli):
    result = cli("verify", "sim", "--seeds", "1", "--seed-base", "7", "--scenarios", "0")
    assert result.code == 0
    assert result.out.startswith("REACHED")
    assert "1 histories" in result.out
    assert result.out.endswith("every promise was kept\n")


def test_sim_tells_the_seed_of_a_broken_promise_and_writes_it_down(cli, monkeypatch, tmp_path):
    monkeypatch.setattr("headgate.verify.histories.PROCESSES", 1)  # another process would not be patched
    monkeypatch.setattr(ledger.Ledger, "_wake", lambda self: None)
    broken = next(seed for seed in range(1, 9) if simulate(seed).broken)
    file = tmp_path / "broken.json"
    words = ("sim", "--seeds", "1", "--seed-base", str(broken), "--scenarios", "2")
    result = cli("verify", *words, "--schedule", str(file))
    assert result.code == 1
    assert f"again: headgate verify sim --seeds 1 --seed-base {broken}" in result.out
    assert result.out.endswith("A PROMISE WAS BROKEN\n")
    [history], scenarios = (json.loads(file.read_text())[name] for name in ("histories", "scenarios"))
    assert history["seed"] == broken
    assert history["mix"] in MIXES
    assert "park-release" in [scenario["name"] for scenario in scenarios]
    again = last(cli("--json", "verify", "sim", "--schedule", str(file)))
    assert len(again["violations"]) == 1 + len(scenarios)
    assert again["violations"][0]["detail"] in result.out


def test_a_flow_that_complains_breaks_its_history_only(monkeypatch):
    monkeypatch.setattr(ledger.Ledger, "close", lambda self: 1 / 0)
    found = list(carry_out(Plan.of_seeds([1]), Ground(), 1))
    assert found[0].broken is not None
    assert "ZeroDivisionError" in found[0].broken


def test_a_goal_never_reached_fails_when_there_were_enough():
    tally = Tally()
    reached = dict.fromkeys(GOALS[1:], 1)
    for seed in range(ENOUGH):
        assert tally.ok
        tally.add(History(seed=seed, digest="d", steps=200, reached=reached))
    assert tally.missed == GOALS[:1]
    assert not tally.ok


def test_a_goal_never_reached_fails_the_command(cli, monkeypatch):
    monkeypatch.setattr(goals, "GOALS", (*GOALS, "pigs fly"))
    monkeypatch.setattr("headgate.verify.histories.ENOUGH", 2)
    result = cli("--json", "verify", "sim", "--seeds", "2", "--scenarios", "0")
    assert result.code == 1
    assert "pigs fly" in last(result)["missed"]
    assert last(result)["violations"] == []


def test_sim_writes_what_it_did_and_repeats_it(cli, tmp_path):
    file = tmp_path / "schedule.json"
    drawn = last(cli("--json", "verify", "sim", "--seeds", "2", "--scenarios", "0", "--schedule", str(file)))
    assert last(cli("--json", "verify", "sim", "--schedule", str(file)))["digest"] == drawn["digest"]
    file.write_text('{"histories": [{"seed": 3, "faults": {"crash": 0.05}}, {"seed": 5, "mix": "pauses"}]}')
    given = last(cli("--json", "verify", "sim", "--schedule", str(file)))
    assert given["seeds"] == 2
    assert given["reached"]["process killed"] > 0
    assert given["reached"]["mix: pauses"] == 1


WRONG = {
    "": "JSON",
    "[]": "must be an object",
    "{}": "must have histories or scenarios",
    '{"seeds": []}': "seeds is unknown",
    '{"histories": [{"seed": true}]}': "histories[0].seed",
    '{"histories": [{"seed": 1, "mix": "x"}]}': "histories[0].mix",
    '{"histories": [{"seed": 1, "faults": {"x": 1}}]}': "histories[0].faults.x",
    '{"histories": [{"seed": 1, "faults": {"crash": 2}}]}': "histories[0].faults.crash",
    '{"scenarios": [{"name": "fold"}]}': "scenarios[0].choices",
    '{"scenarios": [{"name": "x", "choices": []}]}': "scenarios[0].name",
}


@pytest.mark.parametrize(("text", "field"), WRONG.items())
def test_a_wrong_schedule(cli, tmp_path, text, field):
    file = tmp_path / "schedule.json"
    file.write_text(text)
    result = cli("verify", "sim", "--schedule", str(file))
    assert result.code == 2
    assert str(file) in result.err
    assert field in result.err


@pytest.mark.parametrize("words", [["sim"], ["races"], ["deliveries"], ["crash"]])
def test_firestore_needs_its_emulator(cli, monkeypatch, words):
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    result = cli("verify", *words, "--store", "firestore")
    assert result.code == 2
    assert "FIRESTORE_EMULATOR_HOST" in result.err


@pytest.mark.parametrize("words", [["sim", "--seeds", "0"], ["races", "--n", "x"], ["deliveries", "--store", "paper"]])
def test_usage(cli, words):
    assert cli("verify", *words).code == 2


def test_races(cli):
    result = cli("--json", "verify", "races", "--n", "30")
    assert result.code == 0, result.out
    figures = last(result)
    assert [(race["cap"], race["admitted"], race["gaveUp"]) for race in figures["races"]] == [
        (1, 1, 0), (5, 5, 0), (20, 20, 0)
    ]  # fmt: skip
    assert (figures["over"], figures["under"], figures["ok"]) == (0, 0, True)


def test_races_notice_over_admission(cli, monkeypatch):
    monkeypatch.setattr(ledger.Ledger, "close", lambda self: None)  # the tenant is not the lock
    result = cli("verify", "races", "--n", "30")
    assert result.code == 1
    assert "A PROMISE WAS BROKEN" in result.out


def test_deliveries(cli):
    result = cli("--json", "verify", "deliveries", "--n", "200", "--seed", "3")
    assert result.code == 0, result.out
    figures = last(result)
    assert figures["runs"] == figures["ended"] == 50
    assert figures["deliveries"] >= 200
    assert figures["duplicateShare"] >= 0.2
    assert figures["late"] > 0


def test_deliveries_notice_a_late_result_that_counts(cli, monkeypatch):
    monkeypatch.setattr(work, "_current", lambda tx, run: tx.get(type(run), run.id))
    result = cli("verify", "deliveries", "--n", "200")
    assert result.code == 1
    assert "IllegalTransition" in result.out


def test_violations_are_told_but_not_without_end(cli, monkeypatch):
    found = Deliveries(
        deliveries=1, runs=1, ended=0, duplicates=0, counted={}, seconds=1, violations=tuple(f"v{n}" for n in range(30))
    )
    monkeypatch.setattr(deliveries, "run_deliveries", lambda *asked: found)
    result = cli("verify", "deliveries")
    assert result.code == 1
    assert "v19\n… and 10 more" in result.out


def test_the_bar_is_for_terminals(cli, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    result = cli("verify", "races", "--n", "2")
    assert result.code in (0, 1)
    assert "races" in result.err
    assert commands.MANY.keys() == commands.FEW.keys()
    assert races.PROCESSES == 2


def test_an_emulator_that_is_not_there_is_said_in_one_line(cli, monkeypatch):
    from headgate.verify import live

    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setattr(live, "PATIENCE", 0)
    result = cli("verify", "races", "--store", "firestore", "--n", "2")
    assert result.code == 3
    assert "Traceback" not in result.err
