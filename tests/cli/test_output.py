"""What a server says never reaches a terminal raw; tables are complete, JSON is faithful."""

import json

import pytest

from headgate.cli import output
from headgate.cli.words import RUN_TITLES, run_row, standing
from tests.cli.standin import Answer, a_run

EVIL = (
    "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \x9b2J\x07\x08bell\x1b(B \u202eabc\x00"
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain ü 漢 🎉 \t tab\nline", "plain ü 漢 🎉 \t tab\nline"),
        (EVIL, "red link bell abc"),
        ("10%\r20%\r\nend", "10%\n20%\nend"),
        ("\x1b[38;2;1;2;3mx", "x"),
        ("\x1bP1$r0m\x1b\\x", "x"),
        ("cut off \x1b[", "cut off "),
        ("cut off \x1b]0;never ended", "cut off 0;never ended"),
        ("\ud800", ""),
    ],
)
def test_clean(text, cleaned):
    assert output.clean(text) == cleaned


@pytest.mark.parametrize(
    "command", [("run", "show", "r"), ("runs",), ("run", "cancel", "r"), ("run", "log", "r"), ("submit", "x")]
)
def test_no_command_prints_an_escape(cli, server, demo, command):
    run = a_run(
        runId=EVIL,
        state=EVIL,
        repo=EVIL,
        labels={EVIL: EVIL},
        error={"code": EVIL, "message": EVIL},
        result={EVIL: EVIL},
    )
    listed = {"items": [run], "nextCursor": None}
    server.answers = lambda asked: Answer(document=run | listed, text=EVIL if asked.path.endswith("/log") else None)
    result = cli(*command)
    assert result.code == 0, result.err
    assert "link bell abc" in result.out
    assert set("\x1b\x9b\x07\x08\x00\u202e").isdisjoint(result.out + result.err)


def test_errors_are_cleaned_too(cli, server, demo):
    server.says(Answer(404, {"error": EVIL, "code": "NOT_FOUND", "detail": EVIL}))
    result = cli("run", "show", "r")
    assert "link bell abc" in result.err
    assert "\x1b" not in result.err


def test_json_is_faithful(cli, server, demo):
    server.says(Answer(document=a_run(repo=EVIL)))
    result = cli("--json", "run", "show", "r")
    assert result.document == a_run(repo=EVIL)
    assert "\x1b" not in result.out


def test_markup_of_the_server_stays_text(cli, server, demo):
    server.says(Answer(document={"items": [a_run(repo="[red]a/b[/red] :smile:")], "nextCursor": None}))
    assert "[red]a/b[/red] :smile:" in cli("runs").out


def test_a_pipe_gets_whole_lines(cli, server, demo):
    long = "o/" + "n" * 190
    server.says(Answer(document={"items": [a_run(repo=long)], "nextCursor": None}))
    assert long in cli("runs").out


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (a_run(), "pending"),
        (a_run(state="queued", line={"position": 3, "length": 10, "waitingFor": ["SCOPE_FULL:repo"]}),
         "queued, 3 of 10, waiting for SCOPE_FULL:repo"),
        (a_run(state="queued", line={"position": None, "length": 4, "waitingFor": ["NOT_BEFORE"]}),
         "queued, delayed, 4 in line, waiting for NOT_BEFORE"),
        (a_run(state="queued", line={"position": 1, "length": 1, "estimatedWait": {"p50": 2.5, "p90": 60}}),
         "queued, 1 of 1, about 2.5 to 60 s"),
        (a_run(state="running", attempt=2, waiting="input"), "running, attempt 2, needs input"),
        (a_run(state="failed", error={"code": "EXIT_NONZERO", "message": "It ended with 1."}),
         "failed, EXIT_NONZERO: It ended with 1."),
    ],
)  # fmt: skip
def test_where_a_run_stands(run, words):
    assert standing(run) == words


def test_a_row_has_a_cell_for_every_title():
    assert len(run_row(a_run())) == len(RUN_TITLES)
    assert run_row(a_run(error={"code": "TIMED_OUT", "message": "…"}))[-1] == "TIMED_OUT"


def test_show_says_everything_once(cli, server, demo):
    artifact = {"name": "repo.bundle", "uri": "x", "bytes": 12345, "sha256": "ab", "mediaType": "x/y"}
    server.says(Answer(document=a_run(usage={"cpuSeconds": 0.25}, artifacts=[artifact], result={"head": "c0ffee"})))
    out = cli("run", "show", "run_1").out
    for words in (
        "run_1",
        "1 of 3",
        "12,345 bytes",
        "0.25",
        '{"head": "c0ffee"}',
        "run_1.1",
        "2026-07-01T12:00:00.123Z",
    ):
        assert out.count(words) >= 1, words
    assert "finishedAt" not in out
    assert json.loads(cli("--json", "run", "show", "run_1").out)["artifacts"] == [artifact]
