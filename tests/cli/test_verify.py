"""headgate verify: figures, exit codes, and that a broken promise is told with the way to see it again."""

import json
import sys

import pytest

from headgate.cli.commands import verify as commands
from headgate.flow import ledger, work
from headgate.verify import deliveries, races
from headgate.verify.deliveries import Deliveries
from headgate.verify.goals import GOALS
from headgate.verify.ground import Ground
from headgate.verify.histories import Schedule, Tally, histories
from headgate.verify.simulation import History


def last(result):
    return json.loads(result.out.splitlines()[-1])


def digest(*seeds):
    """Of histories made in this process."""
    tally = Tally()
    for history in histories(Schedule(seeds=seeds), Ground(), 1):
        tally.add(history)
    return tally.digest


def test_sim_is_the_same_every_time_and_whatever_process_makes_it(cli):
    result = cli("--json", "verify", "sim", "--seeds", "4")
    assert result.code == 0, result.err
    figures = last(result)
    assert (figures["seeds"], figures["violations"], figures["ok"]) == (4, [], True)
    assert figures["steps"] >= 4 * 200
    assert figures["secondsPerSeed"] > 0
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
    result = cli("verify", "sim", "--seeds", "1", "--seed-base", "7")
    assert result.code == 0
    assert result.out.startswith("REACHED")
    assert "1 histories" in result.out
    assert result.out.endswith("every promise was kept\n")


def test_sim_tells_the_seed_of_a_broken_promise(cli, monkeypatch):
    monkeypatch.setattr(ledger.Ledger, "_wake", lambda self: None)
    seeds = [h.seed for h in histories(Schedule(seeds=range(1, 9)), Ground(), 1) if h.broken]
    result = cli("verify", "sim", "--seeds", "1", "--seed-base", str(seeds[0]))
    assert result.code == 1
    assert f"again: headgate verify sim --seeds 1 --seed-base {seeds[0]}" in result.out
    assert result.out.endswith("A PROMISE WAS BROKEN\n")


def test_a_flow_that_complains_breaks_its_history_only(monkeypatch):
    monkeypatch.setattr(ledger.Ledger, "close", lambda self: 1 / 0)
    found = list(histories(Schedule(seeds=[1]), Ground(), 1))
    assert found[0].broken is not None
    assert "ZeroDivisionError" in found[0].broken


def test_a_goal_never_reached_fails_when_there_were_enough():
    tally = Tally()
    reached = dict.fromkeys(GOALS[1:], 1)
    for seed in range(50):
        assert tally.ok
        tally.add(History(seed=seed, digest="d", steps=200, reached=reached))
    assert tally.missed == GOALS[:1]
    assert not tally.ok


def test_sim_replays_a_schedule(cli, tmp_path):
    file = tmp_path / "schedule.json"
    file.write_text('{"seeds": [3, 5]}')
    drawn = last(cli("--json", "verify", "sim", "--schedule", str(file)))
    file.write_text('{"seeds": [3, 5], "faults": {"crash": 0.05}}')
    given = last(cli("--json", "verify", "sim", "--schedule", str(file)))
    assert drawn["seeds"] == given["seeds"] == 2
    assert given["reached"]["process killed"] > 0
    assert "fault: conflict" not in given["reached"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"seeds": []}', '{"seeds": [true]}', '{"seeds": [1], "x": 1}', '{"seeds": [1], "faults": {"x": 1}}',
     '{"seeds": [1], "faults": {"crash": 2}}'],
)  # fmt: skip
def test_a_wrong_schedule(cli, tmp_path, text):
    file = tmp_path / "schedule.json"
    file.write_text(text)
    result = cli("verify", "sim", "--schedule", str(file))
    assert result.code == 2
    assert str(file) in result.err


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
