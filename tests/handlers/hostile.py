"""Hostile programs, each a few lines that try one thing and print `escaped` if it worked, else `held: why`.

None starts more than a hundred processes. They are given a `Scene`: what there is to attack.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`victim` is the process of another run, `private` a file in its workdir, `secret` a file of the server (0600)."""

    worker: int
    victim: int
    private: Path
    secret: Path
    port: int
    set_uid: Path
    outside: Path
    door: str

    def arguments(self) -> list[str]:
        return [f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self)]


_FRAME = """
import ctypes, errno, os, resource, signal, socket, subprocess, sys, time
scene = dict(part.split("=", 1) for part in sys.argv[1:])
worker, victim, port = int(scene["worker"]), int(scene["victim"]), int(scene["port"])
libc = ctypes.CDLL(None, use_errno=True)
def demand(result):
    if result != 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
try:
{body}
    print("escaped", flush=True)
except Exception as error:
    print("held:", type(error).__name__, error, flush=True)
"""


def program(name: str) -> str:
    """The source of one."""
    return _FRAME.format(body="\n".join("    " + line for line in PROGRAMS[name].strip().splitlines()))


PROGRAMS = {
    # --- others
    "signal the worker": "os.kill(worker, 0)",
    "signal another run": "os.kill(victim, 0)",
    "trace another run": "demand(libc.ptrace(16, victim, 0, 0))",
    "read another run's environment": "open(f'/proc/{victim}/environ', 'rb').read()",
    "read another run's folder": "open(scene['private']).read()",
    "read the server's secrets": "open(scene['secret']).read()",
    "see another run": "open(f'/proc/{victim}/cmdline').read()",
    # --- the machine
    "write where everybody may": "open(scene['outside'] + '/planted', 'w').write('x')",
    "write into the system": "open('/usr/planted', 'w').write('x')",
    "use a set-uid program": """
found = subprocess.run([scene["set_uid"], "-u"], capture_output=True, text=True).stdout.strip()
assert found == "0", f"still {found}"
""",
    "become root": "os.setuid(0)",
    "mount": "demand(libc.mount(b'none', b'/mnt', b'tmpfs', 0, None))",
    "make a user namespace": "demand(libc.unshare(0x10000000))",
    "change root": "os.chroot('.')",
    "come before others": "os.nice(-5)",
    "come before all others": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))",
    # --- the network
    "reach a port of this host": "socket.create_connection(('127.0.0.1', port), 2).close()",
    "reach the metadata server": """
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect(("169.254.169.254", 80))
""",
    "reach an abstract socket": """
door = socket.socket(socket.AF_UNIX)
door.connect("\\0" + scene["door"])
""",
    # --- limits
    "start a hundred processes": """
children = []
try:
    for _ in range(100):
        pid = os.fork()
        if pid == 0:
            time.sleep(30)
            os._exit(0)
        children.append(pid)
finally:
    for pid in children: os.kill(pid, signal.SIGKILL)
""",
    "start a hundred threads": """
import threading
stop = threading.Event()
try:
    for _ in range(100): threading.Thread(target=stop.wait, daemon=True).start()
finally:
    stop.set()
""",
    "open two thousand files": "files = [os.open('/dev/null', os.O_RDONLY) for _ in range(2000)]",
    "write a large file": """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open("large", "wb", 0) as file:
    for _ in range(4): file.write(b"x" * 2**20)
assert os.stat("large").st_size == 4 * 2**20, "cut"
""",
    "lift its limits": "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))",
    "take a lot at once": "bytearray(8 * 2**30)",
    # --- survival: what is left behind must be dead
    "leave a daemon": """
# leaves-daemon
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(30)
    os._exit(0)
os.wait()
""",
    "leave a child": """
# leaves-child
if os.fork() == 0:
    time.sleep(30)
    os._exit(0)
""",
}
