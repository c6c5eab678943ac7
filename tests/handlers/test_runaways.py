"""run_child with children that try to get away: each of them starts a bounded number of processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.handlers import process
from headgate.handlers.orphans import end_orphans
from headgate.handlers.process import ChildLost

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
SERVICES = Path(process.__file__).parents[2]
Marked = Callable[[str], list[int]]


def python(code: str, *args: str) -> tuple[str, ...]:
    return PYTHON, "-c", code, *args


DETACHED = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)
os.wait()
print("parent done", flush=True)
if sys.argv[1] == "wait": time.sleep(60)
"""


@pytest.mark.parametrize(("mode", "reason"), [("exit", "exit"), ("wait", "duration")])
def test_a_detached_grandchild_that_holds_the_pipe_is_killed(run, marked: Marked, mark: str, mode, reason):
    started = time.monotonic()
    end = run(*python(DETACHED, mode, mark), duration_seconds=2.0)
    assert end.reason == reason
    assert end.tail == b"parent done\n"
    assert time.monotonic() - started < 3.5
    assert marked(mark) == []


def test_a_tree_that_ignores_signals_is_killed(run, marked: Marked, mark: str):
    code = (
        "import os, signal, time\n"
        "for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD): signal.signal(s, signal.SIG_IGN)\n"
        "for _ in range(4): os.fork()\n"
        "os.setsid() if os.getpid() != os.getsid(0) else None\n"
        "time.sleep(60)\n"
    )
    end = run(*python(code, mark), duration_seconds=1.0)
    assert end.reason == "duration"
    assert marked(mark) == []


def test_a_chain_that_forks_on_is_caught(run, marked: Marked, mark: str):
    """Each link forks the next and exits, 300 times: always one process, always another, always an orphan."""
    code = (
        "import os, time\nif os.fork(): os._exit(0)\n"
        "for _ in range(300):\n    if os.fork(): os._exit(0)\n    time.sleep(0.003)\ntime.sleep(60)"
    )
    end = run(*python(code, mark), duration_seconds=5.0)
    assert end.reason == "exit"
    assert marked(mark) == []


def test_an_exception_of_on_output_leaves_no_process(run, marked: Marked, mark: str):
    def broken(_: bytes) -> None:
        raise ConnectionError("the log is gone")

    with pytest.raises(ConnectionError):
        run("/bin/sh", "-c", f"echo x; sleep {mark}", on_output=broken)
    assert marked(mark) == []


def the_command(marked: Marked, mark: str) -> list[int]:
    """The command's own process, once it runs: its supervisor, or the child before its exec, is not it."""
    for _ in range(500):
        found = [pid for pid in marked(mark) if b"stub" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("the command did not start")


def the_supervisor(marked: Marked, mark: str) -> int:
    """Above the command, and above bubblewrap where that is in between."""
    pid = the_command(marked, mark)[0]
    while b"stub" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def test_a_killed_supervisor_is_told(run, marked: Marked, mark: str, soon):
    def kill_it() -> None:
        os.kill(the_supervisor(marked, mark), signal.SIGKILL)

    threading.Thread(target=kill_it).start()
    with pytest.raises(ChildLost):
        run("/bin/sleep", mark)
    assert soon(lambda: marked(mark) == [])  # the kernel tells them, link by link


def test_a_stopped_supervisor_holds_nobody_up(run, marked: Marked, mark: str):
    def stop_it() -> None:
        os.kill(the_supervisor(marked, mark), signal.SIGSTOP)

    threading.Thread(target=stop_it).start()
    started = time.monotonic()
    end = run("/bin/sleep", mark, duration_seconds=3.0)
    assert end.reason == "duration"
    assert time.monotonic() - started < 8.0
    assert marked(mark) == []


@pytest.fixture
def orphan() -> Iterator[Callable[[Path], subprocess.Popen[bytes]]]:
    """Makes a process that looks as bubblewrap does while it waits for a parent that was killed."""
    made: list[subprocess.Popen[bytes]] = []

    def make(folder: Path) -> subprocess.Popen[bytes]:
        argv = ["bwrap", "-c", "import time; time.sleep(60)", str(folder)]
        made.append(subprocess.Popen(argv, executable=sys.executable))
        return made[-1]

    yield make
    for one in made:
        one.kill()
        one.wait()


def test_bubblewraps_that_nobody_waits_for_are_ended(orphan, workdir: Path, soon):
    """Only those of this folder: a name that merely begins alike is another run's."""
    mine, within, other = orphan(workdir), orphan(workdir / "run"), orphan(Path(f"{workdir}-other"))
    assert end_orphans(workdir) == 2
    assert soon(lambda: mine.poll() is not None and within.poll() is not None)
    assert other.poll() is None


def test_a_killed_supervisor_leaves_no_bubblewrap(run, orphan, workdir: Path, marked: Marked, mark: str, soon):
    """It was killed before bubblewrap had asked the kernel to die with it: the worker does it."""
    left = orphan(workdir)
    threading.Thread(target=lambda: os.kill(the_supervisor(marked, mark), signal.SIGKILL)).start()
    with pytest.raises(ChildLost):
        run("/bin/sleep", mark)
    assert soon(lambda: left.poll() is not None)


PARENT = """
import sys, threading
from pathlib import Path
from headgate.core.policy import RunLimits
from headgate.handlers.process import run_child
work = lambda: run_child(sys.argv[2:], workdir=Path(sys.argv[1]), environment={}, limits=RunLimits(),
                         cancelled=threading.Event(), on_output=lambda b: print(b.decode(), flush=True))
threading.Thread(target=work).start()
"""


def test_the_tree_dies_with_its_worker(workdir, marked: Marked, mark: str, soon):
    """Also the detached grandchild: the supervisor outlives the worker for as long as killing takes."""
    environment = {**os.environ, "PYTHONPATH": str(SERVICES)}
    argv = [sys.executable, "-c", PARENT, str(workdir), *python(DETACHED, "wait", mark)]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"parent done\n"
        assert len(marked(mark)) in (3, 5)  # worker, command, grandchild, and bubblewrap is two
        worker.kill()
    assert soon(lambda: marked(mark) == [])
