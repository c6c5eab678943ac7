"""headgate verify … --schedule and --mutant: written, repeated, refused by the field; a broken store is seen to fail."""

import json

import pytest

from headgate.verify.crash_recovery import RECOVERIES


def last(result):
    return json.loads(result.out.splitlines()[-1])


@pytest.mark.parametrize(("proof", "n"), [("races", "8"), ("deliveries", "40")])
def test_a_schedule_is_written_and_repeated(cli, tmp_path, proof, n):
    file = tmp_path / "schedule.json"
    first = cli("--json", "verify", proof, "--n", n, "--schedule", str(file))
    assert first.code == 0, first.out
    written = file.read_text()
    again = cli("--json", "verify", proof, "--n", "1", "--schedule", str(file))
    assert again.code == 0, again.out
    assert file.read_text() == written
    counted = "runs" if proof == "deliveries" else "over"
    assert last(again)[counted] == last(first)[counted]


@pytest.mark.parametrize(
    ("proof", "content", "field"),
    [
        (
            "races",
            {"races": [{"plan": "free", "callers": [{"process": 0, "after": "soon"}]}]},
            "races[0].callers[0].after",
        ),
        ("deliveries", {"seed": 1, "n": 4, "attempts": ["", "sleep"]}, "attempts[1]"),
        ("crash", {"store": "sqlite", "seed": 1, "kills": [{"at": "write", "n": 1}]}, "kills[0].recovery"),
        (
            "crash",
            {"store": "sqlite", "seed": 1, "kills": [{"at": "write", "n": 1, "recovery": RECOVERIES[0], "again": 3}]},
            "kills[0].again",
        ),
    ],
)
def test_a_bad_schedule_is_wrong_usage(cli, tmp_path, proof, content, field):
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps(content))
    result = cli("verify", proof, "--schedule", str(file))
    assert result.code == 2
    assert str(file) in result.err
    assert field in result.err


@pytest.mark.parametrize("proof", ["races", "deliveries", "crash", "sim"])
def test_brackets_by_the_thousand_are_wrong_usage(cli, tmp_path, proof):
    file = tmp_path / "schedule.json"
    file.write_text("[" * 100_000)
    result = cli("verify", proof, "--schedule", str(file))
    assert result.code == 2
    assert f"{file} cannot be read as JSON" in result.err


def test_a_replayed_kill_that_never_happens_is_not_ok(cli, tmp_path):
    file = tmp_path / "schedule.json"
    kills = [{"at": "write", "n": n, "recovery": RECOVERIES[0]} for n in (1, 1_000_000)]
    file.write_text(json.dumps({"store": "sqlite", "seed": 1, "kills": kills}))
    result = cli("--json", "verify", "crash", "--schedule", str(file))
    figures = last(result)
    assert (result.code, figures["ok"], figures["missed"], figures["kills"]) == (1, False, 1, 1), result.out
    assert figures["details"] == ["missed: write 1000000 was never reached"]


def test_a_schedule_that_cannot_be_written_is_wrong_usage(cli, tmp_path):
    result = cli("verify", "races", "--n", "2", "--schedule", str(tmp_path / "no" / "such" / "folder.json"))
    assert result.code == 2
    assert "cannot be written" in result.err


def test_a_store_without_transactions_is_caught(cli):
    result = cli("--json", "verify", "crash", "--n", "12", "--mutant", "no-transaction")
    assert result.code == 1, result.out
    figures = last(result)
    assert not figures["ok"]
    assert figures["details"]


def test_an_unknown_mutant_is_wrong_usage(cli):
    result = cli("verify", "crash", "--mutant", "no-sun")
    assert result.code == 2
    assert "no-transaction" in result.err
