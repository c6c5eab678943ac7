"""What `submit` makes of its options, and that a lost answer makes no second run."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.standin import Answer, a_run


@pytest.fixture
def asked(cli, server, demo):
    """The body that these options lead to."""
    server.says(Answer(201, a_run()))

    def submit(*arguments):
        result = cli("submit", *arguments)
        assert result.code == 0, result.err
        return server.asked[-1].body

    return submit


@pytest.mark.parametrize(
    ("arguments", "input_"),
    [
        (("command", "--", "sleep", "-2"), {"command": "sleep", "args": ["-2"]}),
        (("command", "true"), {"command": "true", "args": []}),
        (("git", "https://x/y"), {"url": "https://x/y"}),
        (("git", "https://x/y", "main"), {"url": "https://x/y", "ref": "main"}),
        (("report",), {}),
        (("report", "--input", '{"month": "2026-01"}'), {"month": "2026-01"}),
        (
            ("report", "--arg", "a=1", "--arg", "b:=1", "--arg", "c:=[true]", "--arg", "d=x=y"),
            {"a": "1", "b": 1, "c": [True], "d": "x=y"},
        ),
        (("report", "--input", '{"a": 1, "b": 2}', "--arg", "b=3"), {"a": 1, "b": "3"}),
    ],
)
def test_input(asked, arguments, input_):
    assert asked(*arguments) == {"kind": arguments[0], "input": input_}


def test_input_from_a_file_and_from_standard_input(asked, tmp_path, monkeypatch):
    (tmp_path / "in.json").write_text('{"a": "ü"}', "utf-8")
    assert asked("report", "--input", "@in.json")["input"] == {"a": "ü"}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"b": 2}'))
    assert asked("report", "--input", "-")["input"] == {"b": 2}


def test_every_option(asked):
    body = asked(
        "report", "--repo", "a/b", "--user", "u", "--priority", "high", "--label", "team=web", "--label", "x=",
        "--on-limit", "skip", "--concurrency-key", "k", "--memory", "256MB", "--duration", "5m", "--cpu", "0.5",
        "--not-before", "2030-01-31T08:00:00+02:00", "--start-by", "2030-02-01T00:00:00Z",
    )  # fmt: skip
    assert body == {
        "kind": "report", "input": {}, "repo": "a/b", "user": "u", "priority": "high", "labels": {"team": "web", "x": ""},
        "limits": {"memoryBytes": 256 * 1024**2, "durationSeconds": 300.0, "cpuCores": 0.5},
        "onLimit": "skip", "concurrencyKey": "k",
        "notBefore": "2030-01-31T06:00:00.000Z", "startBy": "2030-02-01T00:00:00.000Z",
    }  # fmt: skip


def test_numbers_are_numbers(asked):
    body = asked("report", "--priority", "7", "--memory", "1000", "--duration", "1.5", "--cpu", "2")
    assert (body["priority"], body["limits"]) == (7, {"memoryBytes": 1000, "durationSeconds": 1.5, "cpuCores": 2.0})


def test_not_before_may_count_from_now(asked):
    at = datetime.fromisoformat(asked("report", "--not-before", "+10m")["notBefore"])
    assert timedelta(minutes=9) < at - datetime.now(UTC) <= timedelta(minutes=10)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--input", "{"), ("--input", "[1]"), ("--input", "@nowhere.json"), ("--input", "[" * 100_000),
        ("--arg", "novalue"), ("--arg", "=x"), ("--arg", "a:=nojson"), ("--label", "x"),
        ("--memory", "much"), ("--memory", "0"), ("--duration", "-1s"), ("--cpu", "none"),
        ("--not-before", "tomorrow"), ("--not-before", "2030-01-31T08:00:00"), ("--not-before", "+soon"),
        ("--start-by", "+99999999d"), ("--on-limit", "explode"), ("some", "words"),
    ],
)  # fmt: skip
def test_wrong_options_name_the_remedy_and_ask_nothing(cli, server, demo, arguments):
    result = cli("submit", "report", *arguments)
    assert (result.code, server.asked) == (2, [])
    assert "headgate submit --help" in result.err


def test_a_lost_answer_is_asked_for_again_under_the_same_key(cli, server, demo):
    server.says(Answer(lost=True), Answer(201, a_run()))
    assert cli("submit", "command", "true").code == 0
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    cli("submit", "command", "true")
    assert server.asked[-1].headers["idempotency-key"] != keys[0]


def test_a_key_of_the_callers_is_kept(cli, server, demo):
    server.says(Answer(201, a_run()))
    cli("submit", "command", "true", "--idempotency-key", "mine")
    assert server.asked[-1].headers["idempotency-key"] == "mine"


def test_answers_that_stay_lost_end_it(cli, server, demo):
    server.says(Answer(lost=True))
    result = cli("submit", "command", "true")
    assert result.code == 3
    assert "broke" in result.err


def test_the_answer_for_people_and_for_scripts(cli, server, demo):
    queued = a_run(state="queued", line={"position": 3, "length": 10, "waitingFor": ["SCOPE_FULL:repo"]})
    server.says(Answer(202, queued))
    assert "run_1 queued, 3 of 10, waiting for SCOPE_FULL:repo" in cli("submit", "command", "true").out
    assert json.loads(cli("--json", "submit", "command", "true").out) == queued
