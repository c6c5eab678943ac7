"""Following a run: each event once, over broken connections, and an end to patience."""

import json
from dataclasses import dataclass, field

import pytest

from headgate.cli.client import Client
from headgate.cli.connection import Connection
from headgate.cli.events import RECONNECTS, Event, follow, parse
from headgate.cli.exits import Exit, Failure
from tests.cli.standin import CUT, Answer, a_run, sse

QUEUED, PENDING, RUNNING = (
    sse(n, f"run.{s}", state=s, attempt=1) for n, s in enumerate(("queued", "pending", "running"), 1)
)
LOG = sse(4, "run.log", text="half\x1b[31m a line")
FINISHED = sse(5, "run.finished", state="completed", attempt=1, at="2026-07-01T12:00:01.000Z")


@dataclass
class Waits:
    """A clock that only notes how long it should have waited."""

    seconds: list[float] = field(default_factory=list)

    def sleep(self, seconds):
        self.seconds.append(seconds)


@pytest.fixture
def client(server):
    with Client(Connection(server.url, "key", "pro-demo")) as it:
        yield it


@pytest.fixture
def streams(server):
    """The server gives these streams one after the other, and this run."""

    def give(*streams, run=None):
        waiting = [Answer(stream=list(stream)) if isinstance(stream, list) else stream for stream in streams]

        def answers(asked):
            if asked.path.endswith("/events"):
                return waiting.pop(0) if len(waiting) > 1 else waiting[0]
            return Answer(document=run or a_run(state="completed"))

        server.answers = answers

    return give


def resumed(server):
    return [asked.headers.get("last-event-id") for asked in server.asked if asked.path.endswith("/events")]


def test_parse():
    text = ': hello\n\nid: 7\r\nevent: run.x\r\ndata: {"a":\ndata: "\u2028"}\n\nretry: 5\n\ndata:1\n\nid: 9\ndata: 2'
    assert list(parse(text)) == [Event("7", "run.x", {"a": "\u2028"}), Event("", "message", 1)]


def test_a_broken_stream_is_taken_up_where_it_broke(server, client, streams):
    running = a_run(state="running")
    streams(
        [QUEUED, PENDING, CUT],
        [RUNNING],
        Answer(503, {"code": "STORE_UNAVAILABLE", "retryAfter": 2}),
        [LOG, FINISHED],
        run=running,
    )
    waits = Waits()
    assert [event.id for event in follow(client, "run_1", waits)] == ["1", "2", "3", "4", "5"]
    assert resumed(server) == [None, "2", "3", "3"]
    assert len(waits.seconds) == 3


def test_patience_ends(server, client, streams):
    streams([QUEUED, CUT], [CUT])
    waits = Waits()
    with pytest.raises(Failure) as raised:
        list(follow(client, "run_1", waits))
    assert raised.value.exit is Exit.UNREACHABLE
    assert len(waits.seconds) == RECONNECTS
    assert max(waits.seconds) == 5


def test_what_cannot_pass_ends_it_at_once(client, streams):
    streams(Answer(404, {"error": "Not found", "code": "NOT_FOUND"}))
    waits = Waits()
    with pytest.raises(Failure) as raised:
        list(follow(client, "run_1", waits))
    assert (raised.value.exit, waits.seconds) == (Exit.DENIED, [])


def test_a_run_that_ended_long_ago(client, streams):
    streams([])
    assert list(follow(client, "run_1", Waits())) == []


def test_watch_for_people(cli, server, demo, streams):
    streams([QUEUED, PENDING, RUNNING, sse(6, "run.progress", percent=50), LOG, FINISHED])
    result = cli("run", "watch", "run_1")
    assert result.code == 0
    words = [line.split() for line in result.out.splitlines()]
    assert words == [
        ["queued"],
        ["pending"],
        ["running"],
        ["progress", '{"percent":', "50}"],
        ["12:00:01", "completed"],
    ]


def test_watch_says_the_place_of_what_is_queued_now(cli, server, demo, streams):
    streams([QUEUED, FINISHED], run=a_run(state="queued", line={"position": 3, "length": 10}))
    assert "queued, 3 of 10" in cli("run", "watch", "run_1").out


def test_watch_for_scripts(cli, server, demo, streams):
    streams([QUEUED, LOG, FINISHED])
    lines = [json.loads(line) for line in cli("--json", "run", "watch", "run_1").out.splitlines()]
    assert [line["id"] for line in lines] == ["1", "4", "5"]
    assert lines[1] == {"id": "4", "type": "run.log", "data": {"text": "half\x1b[31m a line"}}


def test_watch_of_a_run_that_fails(cli, server, demo, streams):
    streams([FINISHED], run=a_run(state="cancelled"))
    result = cli("run", "watch", "run_1")
    assert result.code == 1
    assert "run_1 cancelled" in result.err


def test_log_as_it_is_and_as_it_comes(cli, server, demo, streams):
    server.says(Answer(text="one\ntwo\x1b[0m"))
    assert cli("run", "log", "run_1").out == "one\ntwo"
    assert server.asked[-1].path == "/tenants/pro-demo/runs/run_1/log"
    assert cli("--json", "run", "log", "run_1").document == {"text": "one\ntwo\x1b[0m"}
    streams([QUEUED, LOG, CUT], [sse(5, "run.log", text=", now whole\n"), FINISHED], run=a_run(state="running"))
    assert cli("run", "log", "--follow", "run_1").out == "half a line, now whole\n"


def test_log_that_is_not_there(cli, server, demo):
    server.says(Answer(404, {"error": "Not found", "code": "NOT_FOUND"}))
    assert cli("run", "log", "run_1").code == 4


@pytest.mark.parametrize("arguments", [("run", "watch", "run_1"), ("--json", "run", "watch", "run_1")])
def test_places_are_no_events_of_the_run(cli, server, demo, streams, arguments):
    """They have no number: a stream that breaks goes on after the last event that has one, and nobody sees them as one."""
    place = b'event: run.line\ndata: {"position": 3, "length": 9}\n\n'
    streams([QUEUED, place, PENDING, place, CUT], [RUNNING, FINISHED])
    lines = cli(*arguments).out.splitlines()
    assert len(lines) == 4
    assert "position" not in "".join(lines)
    assert resumed(server) == [None, "2"]
