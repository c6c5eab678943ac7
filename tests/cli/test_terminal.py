"""On a terminal: a line that moves, colours unless NO_COLOR, and Ctrl-C. Real processes on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.standin import Answer, Asked, Standin, a_run, sse

SERVICES = Path(__file__).parents[2] / "services"
QUEUED = a_run(state="queued", line={"position": 3, "length": 10, "waitingFor": ["SCOPE_FULL:repo"]})
SECONDS = 20.0


@dataclass
class Terminal:
    """A command in a terminal, and everything it wrote there."""

    process: subprocess.Popen[bytes]
    master: int
    seen: bytes = b""

    def until(self, found: Callable[[bytes], bool]) -> bytes:
        """Read until `found` says so of all that was written."""
        end = time.monotonic() + SECONDS
        while not found(self.seen):
            assert time.monotonic() < end, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 4096)
                except OSError:  # Linux's way to say that nobody writes there any more
                    break
        return self.seen


@contextmanager
def terminal(*arguments: str, **environ: str) -> Iterator[Terminal]:
    """`headgate` in a terminal of 100 columns."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "headgate", *arguments]
    environment = os.environ | {"PYTHONPATH": str(SERVICES), "TERM": "xterm-256color", "COLUMNS": "100"} | environ
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        try:
            yield Terminal(process, master)
        finally:
            process.kill()
            os.close(master)


@pytest.fixture
def waiting(server: Standin, demo: Path) -> Standin:
    """A run that stays in line; its stream is open for a while."""

    def answers(asked: Asked) -> Answer:
        if asked.path.endswith("/events"):
            return Answer(stream=[sse(1, "run.queued", state="queued")] + [b": still here\n\n"] * 3, pause=SECONDS / 3)
        return Answer(document=QUEUED)

    server.answers = answers
    return server


def test_the_line_says_the_place_and_ctrl_c_ends_it_quietly(waiting):
    with terminal("run", "watch", "run_1") as it:
        it.until(lambda seen: b"run_1 queued, 3 of 10" in seen)
        it.process.send_signal(signal.SIGINT)
        assert it.process.wait(SECONDS) == 130
        seen = it.until(lambda seen: False)
    assert b"Traceback" not in seen
    assert b"Abort" not in seen


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours(server, demo, environ, coloured):
    server.says(Answer(document={"items": [a_run(state="failed")], "nextCursor": None}))
    with terminal("runs", **environ) as it:
        seen = it.until(lambda seen: False)
    assert b"run_1" in seen
    assert (b"\x1b[31m" in seen) is coloured


def test_a_pipe_gets_no_line_that_moves(waiting):
    command = [sys.executable, "-m", "headgate", "run", "watch", "run_1"]
    environment = os.environ | {"PYTHONPATH": str(SERVICES)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
    assert line.strip() == b"queued, 3 of 10, waiting for SCOPE_FULL:repo"
    assert (process.returncode, errors.strip()) == (130, b"")


def test_a_reader_that_leaves_is_no_error(server, demo):
    server.says(Answer(document={"items": [a_run() for _ in range(5000)], "nextCursor": None}))
    command = f"{sys.executable} -m headgate.cli --json runs --all | head -c 10"
    environment = os.environ | {"PYTHONPATH": str(SERVICES)}
    result = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, timeout=SECONDS)
    assert (len(result.stdout), result.stderr) == (10, b"")
