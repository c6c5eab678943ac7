"""The sandbox against hostile programs, with all layers of this machine and with those of one without bubblewrap.

Each kind of protection has its negative control: the same program gets away when the layer is off.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headgate.core.policy import RunLimits
from headgate.handlers import process
from headgate.handlers.process import ChildEnd, run_child
from headgate.handlers.sandbox import ALWAYS, active_layers, known_layers
from headgate.handlers.users import run_user
from tests.handlers.hostile import Scene, program

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
SERVICES = Path(process.__file__).parents[2]
MB = 1024 * 1024
FULL = active_layers()
PLAIN = tuple(layer for layer in FULL if layer != "bubblewrap")
SETS = [pytest.param(FULL, id="+".join(FULL[:3])), pytest.param(PLAIN, id="without-bubblewrap")]

needs_root = pytest.mark.skipif("uid" not in FULL, reason="only a worker that is root has users to give")
needs_bubblewrap = pytest.mark.skipif("bubblewrap" not in FULL, reason="no bubblewrap that works here")
needs_filter = pytest.mark.skipif("seccomp" not in FULL, reason="no filters of system calls here")
pytestmark = [pytest.mark.linux, needs_root]

Attack = Callable[..., ChildEnd]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A place that children see: not below /tmp, which is their own."""
    with tempfile.TemporaryDirectory(prefix="headgate-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def scene_of(folder: Path) -> Iterator[Callable[[tuple[str, ...]], Scene]]:
    """Another run with these layers, what is around it, and two open doors of the host; made once for each set."""
    stop, number = threading.Event(), itertools.count()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(16))
        stack.callback(stop.set)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        door = f"headgate-test-{os.getpid()}"
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{door}")
        abstract.listen()
        set_uid = folder / "set-uid-id"
        shutil.copy("/usr/bin/id", set_uid)
        set_uid.chmod(0o4755)
        secret = folder / "demo.json"
        secret.write_text("key")
        secret.chmod(0o600)
        (folder / "outside").mkdir()
        (folder / "outside").chmod(0o777)

        @functools.cache
        def scene_of(layers: tuple[str, ...]) -> Scene:
            theirs = folder / f"run-{next(number)}"
            theirs.mkdir()
            argv = (PYTHON, "-c", VICTIM, str(theirs))
            limits = RunLimits(duration_seconds=120.0)
            options: dict[str, Any] = {
                "workdir": theirs,
                "environment": {},
                "limits": limits,
                "cancelled": stop,
                "layers": layers,
            }
            pool.submit(run_child, argv, **options)
            return Scene(
                worker=os.getpid(),
                victim=_awaited(theirs),
                private=theirs / "private",
                secret=secret,
                port=server.getsockname()[1],
                set_uid=set_uid,
                outside=folder / "outside",
                door=door,
            )

        yield scene_of


VICTIM = "import time; open('private', 'w').write('x'); time.sleep(100)"


def _awaited(theirs: Path) -> int:
    """The number of the other run's process, once it sleeps: the last with that folder among its arguments."""
    for _ in range(1000):
        if (theirs / "private").exists():
            break
        time.sleep(0.01)
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is(entry, theirs)]
    return max(found)


def _is(entry: Path, theirs: Path) -> bool:
    try:
        return str(theirs).encode() in (entry / "cmdline").read_bytes()
    except OSError:
        return False


@pytest.fixture
def attack(run, scene_of) -> Attack:
    """Runs a hostile program beside another run, both with the same layers."""

    def attack(name: str, layers: tuple[str, ...], **options) -> ChildEnd:
        return run(PYTHON, "-c", program(name), *scene_of(layers).arguments(), layers=layers, **options)

    return attack


# -------------------------------------------------------------------------------------------------- what they may not


@pytest.mark.parametrize("layers", SETS)
@pytest.mark.parametrize(
    "name",
    [
        *("signal the worker", "signal another run", "trace another run", "read another run's environment"),
        *("read another run's folder", "read the server's secrets", "write into the system", "use a set-uid program"),
        *("become root", "mount", "change root", "come before others", "come before all others"),
        *("reach a port of this host", "reach the metadata server"),
        *("reach an abstract socket", "start a hundred processes", "start a hundred threads"),
        *("open two thousand files", "write a large file", "lift its limits", "take a lot at once"),
    ],
)
def test_it_is_held(attack: Attack, name: str, layers: tuple[str, ...]):
    end = attack(name, layers, file_bytes=MB)
    assert end.tail.startswith(b"held:"), end.tail
    assert end.layers == layers


@needs_bubblewrap
@pytest.mark.parametrize("name", ["see another run", "write where everybody may", "make a user namespace"])
def test_it_is_held_by_bubblewrap(attack: Attack, name: str):
    end = attack(name, FULL)
    assert end.tail.startswith(b"held:"), end.tail


@pytest.mark.parametrize("layers", SETS)
@pytest.mark.parametrize("name", ["leave a daemon", "leave a child"])
def test_what_it_leaves_behind_is_dead(attack: Attack, marked, name: str, layers: tuple[str, ...]):
    end = attack(name, layers)
    assert (end.reason, end.exit_code) == ("exit", 0)
    assert marked("leaves-" + name.split()[-1]) == []


CONTROLS = [
    ("uid", "signal another run"),
    ("uid", "trace another run"),
    ("uid", "read another run's environment"),
    ("uid", "read another run's folder"),
    ("uid", "start a hundred processes"),
    ("netns", "reach a port of this host"),
    ("netns", "reach an abstract socket"),
    ("no_new_privs", "use a set-uid program"),
    ("rlimits", "write a large file"),
]


@pytest.mark.parametrize(("layer", "name"), CONTROLS)
def test_without_its_layer_it_escapes(attack: Attack, layer: str, name: str):
    # Who may gain rights may have no filter: the kernel says so.
    off = {layer, "seccomp"} if layer == "no_new_privs" else {layer}
    end = attack(name, tuple(other for other in PLAIN if other not in off), file_bytes=MB)
    assert end.tail == b"escaped\n"


@pytest.mark.parametrize("name", ["see another run", "write where everybody may"])
def test_without_bubblewrap_it_escapes(attack: Attack, name: str):
    assert attack(name, PLAIN).tail == b"escaped\n"


@pytest.mark.parametrize(("layer", "name"), [("subreaper", "leave a daemon"), ("tree_kill", "leave a child")])
def test_without_its_layer_it_survives(attack: Attack, marked, layer: str, name: str):
    attack(name, tuple(other for other in PLAIN if other != layer))
    survivors = marked("leaves-" + name.split()[-1])
    assert survivors
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)


# ---------------------------------------------------------------------------------------------------- memory and time

HOGS = {
    "slow": "kept = []\nwhile True: kept.append(b'x' * (4 << 20)); time.sleep(0.05)",
    "fast": "kept = []\nwhile True: kept.append(b'x' * (64 << 20))",
    "memfd": "file = os.memfd_create('hog')\nfor _ in range(200): os.write(file, b'x' * MB)\ntime.sleep(20)",
    "mapped": "m = mmap.mmap(-1, 200 * MB)\nfor _ in range(200): m.write(b'x' * MB)\ntime.sleep(20)",
    "many": "[os.fork() for _ in range(3)]\nkept = b'x' * (30 * MB)\ntime.sleep(20)",
}
IN_TMPFS = {
    place: f"signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nfile = open('{place}/hog', 'wb', 0)\n"
    "try:\n    for _ in range(200): file.write(b'x' * MB)\nexcept OSError: pass\ntime.sleep(20)"
    for place in ("/tmp", "/dev/shm")
}
START = "import mmap, os, signal, sys, time\nMB = 2**20\n"


@pytest.mark.parametrize("layers", SETS)
@pytest.mark.parametrize("name", HOGS)
def test_memory(run, name: str, layers: tuple[str, ...]):
    if name == "memfd":  # the filter refuses it: without it the meter counts
        layers = unfiltered(layers)
    end = run(PYTHON, "-c", START + HOGS[name], memory_bytes=64 * MB, layers=layers)
    assert end.reason == "memory"
    assert end.usage.duration_seconds < 6
    assert end.usage.peak_memory_bytes > 64 * MB


def unfiltered(layers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(layer for layer in layers if layer != "seccomp")


HIDDEN = """
import array, socket
kept = []
for _ in range(4):
    file = os.memfd_create("hog")
    for _ in range(40): os.write(file, b"x" * MB)
    kept += socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    kept[-2].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]).tobytes())])
    os.close(file)
time.sleep(3)
print("hidden")
"""


@needs_filter
@pytest.mark.parametrize("layers", SETS)
def test_memory_cannot_be_hidden_in_a_socket(run, layers: tuple[str, ...]):
    end = run(PYTHON, "-c", START + HIDDEN, memory_bytes=128 * MB, layers=layers)
    assert end.exit_code == 1
    assert b"OSError: [Errno 38]" in end.tail


@needs_filter
def test_without_the_filter_it_can(run):
    end = run(PYTHON, "-c", START + HIDDEN, memory_bytes=128 * MB, layers=unfiltered(FULL))
    assert end.tail == b"hidden\n"
    assert end.usage.peak_memory_bytes < 128 * MB


OTHER_DOORS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": (319, 447, 319 | 0x40000000), "aarch64": (279, 447)}[os.uname().machine]
for number in numbers: print(libc.syscall(number, b"hog", 0), ctypes.get_errno())
"""


@needs_filter
def test_no_door_leads_to_such_a_file(run):
    assert set(run(PYTHON, "-c", START + OTHER_DOORS).tail.splitlines()) == {b"-1 38"}


@needs_bubblewrap
@pytest.mark.parametrize("place", IN_TMPFS)
def test_files_in_memory_count(run, place: str):
    end = run(PYTHON, "-c", START + IN_TMPFS[place], memory_bytes=64 * MB, layers=FULL)
    assert end.reason == "memory"


@needs_bubblewrap
def test_files_in_memory_of_others_do_not_count(run):
    end = run(PYTHON, "-c", START + "open('/tmp/some', 'wb').write(b'x' * (20 * MB)); time.sleep(0.5)", layers=FULL)
    assert 20 * MB < end.usage.peak_memory_bytes < 60 * MB


STUBBORN = {
    "deaf": "[signal.signal(s, signal.SIG_IGN) for s in range(1, 32) if s not in (9, 19)]\ntime.sleep(60)",
    "silent": "os.close(0); os.close(1); os.close(2)\ntime.sleep(60)",
    "stops its parent": "try: os.kill(os.getppid(), signal.SIGSTOP)\nexcept OSError: pass\ntime.sleep(60)",
    "zombies": "for _ in range(40):\n    if os.fork() == 0: os._exit(0)\ntime.sleep(60)",
    "many sessions": "for _ in range(20):\n    if os.fork() == 0: os.setsid(); time.sleep(60)\ntime.sleep(60)",
}


@pytest.mark.parametrize("layers", SETS)
@pytest.mark.parametrize("name", STUBBORN)
def test_time(run, marked, mark: str, name: str, layers: tuple[str, ...]):
    started = time.monotonic()
    end = run(PYTHON, "-c", START + STUBBORN[name], mark, duration_seconds=0.7, layers=layers)
    assert end.reason == "duration"
    assert time.monotonic() - started < 0.7 + 2.0
    assert marked(mark) == []


EVERYBODY = """
try: os.kill(-1, signal.SIGKILL)
except ProcessLookupError: pass
os.kill(0, signal.SIGKILL)
"""


@pytest.mark.parametrize("layers", SETS)
def test_whoever_kills_everybody_kills_itself(run, layers: tuple[str, ...]):
    end = run(PYTHON, "-c", START + EVERYBODY, layers=layers)
    assert end.signal == signal.SIGKILL


# ---------------------------------------------------------------------------------------- environment, users, reports


@pytest.mark.parametrize("layers", SETS)
def test_no_credentials_reach_it(run, monkeypatch, layers: tuple[str, ...]):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/canary/key.json")
    code = (
        "import os\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: print(open(f'/proc/{pid}/environ', errors='replace').read())\n"
        "    except OSError: pass\n"
    )
    assert b"canary" not in run(PYTHON, "-c", code, layers=layers).tail


def test_users_are_different_while_they_live(run, workdir: Path):
    workdir.chmod(0o755)

    def who(number: int) -> bytes:
        (workdir / str(number)).mkdir()
        return run("/bin/sh", "-c", "id -u; sleep 0.5", workdir=workdir / str(number)).tail

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(who, range(8)))) == 8


@needs_bubblewrap
def test_programs_below_tmp_are_shown(run, workdir: Path):
    """An operator may keep one there; a run sees it and nothing else of /tmp."""
    workdir.chmod(0o755)
    program, mine = workdir / "program", workdir / "mine"
    shutil.copy("/bin/ls", program)
    program.chmod(0o755)
    mine.mkdir()
    end = run(str(program), "/tmp", workdir=mine, layers=FULL)
    assert end.tail.split() == [workdir.name.encode()]


@needs_bubblewrap
def test_hidden_folders_are_empty(run, folder: Path):
    data = folder / "data"
    data.mkdir()
    (data / "headgate.db").write_text("everything")
    assert run("/bin/ls", str(data), layers=FULL).tail == b"headgate.db\n"
    assert run("/bin/ls", str(data), layers=FULL, hidden=[data]).tail == b""


@pytest.mark.parametrize("layers", SETS)
def test_when_the_machine_runs_out_of_memory_it_goes_first(run, layers: tuple[str, ...]):
    assert run("/bin/cat", "/proc/self/oom_score_adj", layers=layers).tail == b"1000\n"


def test_a_user_is_free_again_only_when_its_last_process_is_gone():
    """Also after the worker's death: the supervisor holds the claim as long as it lives."""
    with run_user() as first, run_user() as second:
        assert first.uid != second.uid
        keeper = os.dup(first.claim)
    try:
        assert taken(first.uid)
        assert not taken(second.uid)
    finally:
        os.close(keeper)
    assert not taken(first.uid)


def taken(uid: int) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(f"\0headgate-run-user-{uid}")
        except OSError:
            return True
    return False


UNPRIVILEGED = """
import sys, threading
from pathlib import Path
from typing import Any
from headgate.core.policy import RunLimits
from headgate.handlers.process import run_child
from headgate.handlers.sandbox import active_layers
workdir, data = map(Path, sys.argv[1:])
run = lambda *argv: run_child(argv, workdir=workdir, environment={}, limits=RunLimits(), cancelled=threading.Event(),
                              hidden=[data])
end = run("/bin/sh", "-c", f"id -u; cat {data}/demo.json")
print(end.layers == active_layers(), *end.layers)
print(end.reason, end.tail.decode().split()[0], "key" in end.tail.decode().split())
"""


def test_a_worker_that_is_not_root_has_fewer_layers_and_says_so(folder: Path):
    """As on Cloud Run; what it shares with its runs, its own data, is hidden at least where bubblewrap is."""
    place = Path(tempfile.mkdtemp(dir=folder))
    for name in ("work", "data"):
        (place / name).mkdir()
        os.chown(place / name, 12345, 12345)
    (place / "data" / "demo.json").write_text("key")
    place.chmod(0o755)
    argv = [PYTHON, "-c", UNPRIVILEGED, str(place / "work"), str(place / "data")]
    environment = {"PYTHONPATH": str(SERVICES), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=environment, cwd="/", capture_output=True, text=True, user=12345, group=12345)
    if "Error" in done.stderr:
        pytest.skip(f"the system's Python cannot run headgate as another user: {done.stderr[-200:]}")
    first, second = done.stdout.splitlines()
    same, *layers = first.split()
    assert same == "True"
    assert set(ALWAYS) <= set(layers) <= set(ALWAYS) | {"bubblewrap", "netns", "seccomp"}
    assert second == f"exit 12345 {'bubblewrap' not in layers}"


def test_what_is_active_is_known_once_asked():
    assert set(ALWAYS) <= set(active_layers())
    assert known_layers() == active_layers()
