"""run_child with real processes: limits, runaways, output, the environment and who the child is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.handlers import process, stub
from headgate.handlers.process import ChildEnd
from headgate.handlers.sandbox import active_layers
from headgate.handlers.users import COUNT, FIRST

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
SERVICES = Path(process.__file__).parents[2]
AS_ROOT = os.geteuid() == 0
MB = 1024 * 1024


def python(code: str, *args: str) -> tuple[str, ...]:
    return PYTHON, "-c", code, *args


# ---------------------------------------------------------------------------------------------------------- a good run


def test_exit_code_output_and_usage(run):
    pieces: list[bytes] = []
    end = run("/bin/sh", "-c", "echo out; echo err >&2; exit 3", on_output=pieces.append)
    assert (end.reason, end.exit_code, end.signal) == ("exit", 3, None)
    assert end.tail == b"out\nerr\n" == b"".join(pieces)
    assert (end.output_bytes, end.truncated) == (8, False)
    assert 0 < end.usage.duration_seconds < 5


def test_environment_is_exactly_what_was_given(run, workdir, monkeypatch):
    monkeypatch.setenv("HEADGATE_SECRET_OF_THE_WORKER", "canary")
    end = run(shutil.which("env"), environment={"A": "1", "UMLAUT": "grün\n"})
    bubblewrap_adds = f"PWD={workdir}\n" if "bubblewrap" in end.layers else ""
    assert end.tail.decode() == f"A=1\nUMLAUT=grün\n\n{bubblewrap_adds}"


def test_the_order_is_in_no_command_line(run, workdir):
    """The environment may hold secrets, and everybody on a host can read command lines."""
    code = "import sys; print(open(f'/proc/{__import__(\"os\").getppid()}/cmdline').read())"
    layers = [layer for layer in active_layers() if layer != "bubblewrap"]
    end = run(*python(code), environment={"TOKEN": "canary"}, layers=layers)
    assert b"stub.py" in end.tail
    assert b"canary" not in end.tail
    assert b"canary" not in run(*python(code), environment={"TOKEN": "canary"}).tail


def test_a_long_order_fits(run):
    args = ["x" * 4096] * 64
    end = run("/bin/echo", *args)
    assert end.output_bytes == 64 * 4097


C_LIBRARY_S_OWN = 0b11 << 31
"""Signals 32 and 33: nobody but the C library can change what becomes of them."""


def test_only_standard_descriptors_and_default_signals_reach_the_command(run):
    code = (
        "import os,signal\n"
        "status = open('/proc/self/status').read()\n"
        "print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])\n"
        "print([l for l in status.splitlines() if l.startswith(('SigBlk', 'NoNewPrivs'))])\n"
    )
    lines = run(*python(code)).tail.decode().splitlines()
    assert lines[0] == "[0, 1, 2]"
    assert lines[1] == "['SigBlk:\\t0000000000000000', 'NoNewPrivs:\\t1']"
    ignored = run("/bin/sh", "-c", "grep SigIgn /proc/self/status").tail
    assert int(ignored.split()[1], 16) & ~C_LIBRARY_S_OWN == 0


@pytest.mark.skipif("uid" not in active_layers(), reason="only a worker that is root has users to give")
def test_the_child_is_a_user_of_its_own_without_groups_or_capabilities(run, workdir):
    code = (
        "import os; open('mine', 'w').write('x')\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapPrm', 'CapEff', 'CapAmb'))])\n"
    )
    lines = run(*python(code)).tail.decode().splitlines()
    uid = (workdir / "mine").stat().st_uid
    assert uid in range(FIRST, FIRST + COUNT)
    assert lines[0] in (f"{(uid,) * 3} {(uid,) * 3} []", f"{(uid,) * 3} {(uid,) * 3} [{uid}]")
    assert lines[1] == str(["0" * 16] * 3)
    as_worker = run("/usr/bin/id", "-u", as_worker=True)
    assert as_worker.tail == b"0\n"


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user has no folder that is closed to itself")
def test_a_program_that_nobody_may_not_execute_fails_clearly(run, tmp_path):
    tmp_path.chmod(0o700)
    program = tmp_path / "secret-place"
    shutil.copy("/bin/true", program)
    end = run(str(program))
    assert (end.exit_code, end.tail) == (126, b"headgate: cannot start secret-place: Permission denied\n")


@pytest.mark.parametrize(("argv", "code"), [("/nowhere/program", 127), ("/etc/hostname", 126), ("/tmp", 126)])
def test_what_cannot_be_executed(run, argv, code):
    end = run(argv)
    assert (end.reason, end.exit_code) == ("exit", code)
    assert b"headgate: cannot start" in end.tail


def test_a_signal_is_told(run):
    end = run("/bin/sh", "-c", "kill -KILL $$")
    assert (end.reason, end.exit_code, end.signal) == ("exit", None, signal.SIGKILL)


def test_rlimits(run):
    end = run("/bin/sh", "-c", "ulimit -c; ulimit -n; ulimit -t", duration_seconds=10.0, cpu_cores=1.0)
    assert end.tail == b"0\n1024\n12\n"
    end = run("/bin/sh", "-c", "head -c 2000000 /dev/zero > big", file_bytes=MB)
    assert end.exit_code != 0


def test_empty_argv_is_refused(run):
    with pytest.raises(ValueError, match="argv is empty"):
        run()


# -------------------------------------------------------------------------------------------------------------- limits


def test_duration(run, marked: Callable[[str], list[int]], mark: str):
    started = time.monotonic()
    end = run("/bin/sleep", mark, duration_seconds=1.0)
    assert (end.reason, end.exit_code) == ("duration", None)
    assert time.monotonic() - started < 2.5
    assert marked(mark) == []


def test_memory(run):
    end = run(*python("b = bytearray(200 << 20); import time; time.sleep(20)"), memory_bytes=64 * MB)
    assert end.reason == "memory"
    assert end.usage.peak_memory_bytes > 64 * MB
    assert end.usage.duration_seconds < 5


def test_memory_of_the_whole_tree(run):
    """Three children with 40 MB each: none is over the limit, together they are."""
    code = (
        "import os,time\nfor _ in range(2): os.fork() or [bytearray(b'x') * (40 << 20), time.sleep(20)]\ntime.sleep(20)"
    )
    end = run(*python(code), memory_bytes=64 * MB)
    assert end.reason == "memory"


def test_a_short_run_has_its_peak_too(run):
    end = run(*python("bytearray(b'x') * (150 << 20)"))
    assert end.usage.peak_memory_bytes > 150 * MB


def test_cpu(run):
    end = run(*python("while True: pass"), duration_seconds=20.0, cpu_cores=0.05)
    assert end.reason == "cpu"
    assert 1.0 < end.usage.cpu_seconds < 4.0


def test_cpu_of_the_dead_counts(run):
    """A loop of short children: each uses little, and is gone at every look."""
    code = "import subprocess, sys\nwhile True: subprocess.run([sys.executable, '-S', '-c', 'for i in range(10**6): pass'])"
    end = run(*python(code), duration_seconds=20.0, cpu_cores=0.05)
    assert end.reason == "cpu"


def test_the_kernel_is_the_net_below_the_cpu_limit(run, monkeypatch):
    monkeypatch.setattr(stub, "descendants", lambda root: [])
    end = run(*python("while True: pass"), duration_seconds=40.0, cpu_cores=0.0001)
    assert (end.reason, end.signal) == ("cpu", signal.SIGXCPU)


def test_cancel(run, marked: Callable[[str], list[int]], mark: str):
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    started = time.monotonic()
    end = run("/bin/sleep", mark, cancelled=cancelled)
    assert end.reason == "cancelled"
    assert time.monotonic() - started < 2.0
    assert marked(mark) == []


# ------------------------------------------------------------------------------------------------ output, many at once


def test_output_is_bounded(run):
    seen = 0

    def count(piece: bytes) -> None:
        nonlocal seen
        seen += len(piece)

    end = run("/bin/sh", "-c", "head -c 52428800 /dev/zero; echo the end", on_output=count, tail_bytes=1000)
    assert (end.exit_code, end.output_bytes, end.truncated) == (0, 50 * MB + 8, True)
    assert seen == end.output_bytes
    assert len(end.tail) == 1000
    assert end.tail.endswith(b"\0the end\n")


def test_a_spammer_is_ended_in_time(run):
    started = time.monotonic()
    end = run("/usr/bin/yes", duration_seconds=1.0, tail_bytes=0)
    assert (end.reason, end.tail, end.truncated) == ("duration", b"", True)
    assert time.monotonic() - started < 3.0


def test_forty_at_once(run, workdir):
    open_before = len(os.listdir("/proc/self/fd"))

    workdir.chmod(0o755)

    def one(number: int) -> ChildEnd:
        folder = workdir / str(number)
        folder.mkdir()
        return run("/bin/sh", "-c", f"sleep 1; echo {number}; exit {number}", workdir=folder)

    started = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        ends = list(pool.map(one, range(40)))
    assert [end.exit_code for end in ends] == list(range(40))
    assert [end.tail for end in ends] == [f"{number}\n".encode() for number in range(40)]
    assert time.monotonic() - started < 12
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_the_scan_for_kernels_without_children_files_finds_the_same():
    with subprocess.Popen(["/bin/sleep", "5"]) as child:
        assert child.pid in stub._children_by_scan(os.getpid())
        assert child.pid in stub._children(os.getpid())
        child.kill()


def test_the_stub_runs_without_the_package(tmp_path):
    """It is executed by path in isolated mode: an import of ours would fail in every child."""
    copy = shutil.copy(stub.__file__, tmp_path / "stub.py")
    order = json.dumps({"report": 1, "worker": -1})
    done = subprocess.run([sys.executable, "-I", "-S", copy], input=order.encode(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
