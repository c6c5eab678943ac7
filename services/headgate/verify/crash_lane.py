"""A warmed process that kills its children: reads jobs from standard input, a JSON line each, and answers in kind.

Everything is imported here and no thread is ever started, so each child is a fork that begins its scene at once:
`python -m headgate.verify.crash_lane` (jobs on standard input), or with a job as argument to play one scene under
strace.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from headgate.verify.crash_points import STATEMENT, Points
from headgate.verify.crash_recovery import recover
from headgate.verify.crash_scene import Setting, Tell, World, play

STUCK_SECONDS = 60
SYSCALLS = ("pwrite64", "fdatasync")
STRACE = ("strace", "-f", "-qq")
"""Without --seccomp-bpf, which is faster and injects nothing (strace 6.1)."""

Said = list[dict[str, Any]]


def work_off(job: Mapping[str, Any]) -> dict[str, Any]:
    """One job's answer. `job`: store, seed, mutant and `kill` (at, n, recovery, again), or `count` in its place."""
    if job["store"] == "firestore":
        importlib.import_module("headgate.store.firestore")  # once, before the fork
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        setting = Setting(store=job["store"], folder=Path(folder), seed=job["seed"], mutant=job["mutant"])
        return _count(setting) if "count" in job else _kill(setting, job["kill"])


def _kill(setting: Setting, kill: Mapping[str, Any]) -> dict[str, Any]:
    told, died = _strace_kill(setting, kill) if kill["at"] in SYSCALLS else _fork_kill(setting, kill)
    deaths = int(died)
    if kill["again"]:
        more, died = _child(lambda tell: _recover(setting, told, kill, Points(STATEMENT, kill["again"]), "b", tell))
        deaths += died
        told += more
    found, died = _child(lambda tell: _recover(setting, told, kill, Points(), "c", tell))
    findings = [said["finding"] for said in found if "finding" in said]
    counted = next((said["findings"] for said in found if "findings" in said), None)
    errors = [said["error"] for said in (*told, *found) if "error" in said]
    if counted is None and not errors:
        errors.append(f"the recovery did not end within {STUCK_SECONDS} s")
    return {"deaths": deaths, "findings": findings, "counted": counted or {}, "errors": errors}


def _recover(setting: Setting, told: Said, kill: Mapping[str, Any], points: Points, name: str, tell: Tell) -> None:
    recover(World(setting, name, points, tell), told, kill["recovery"])


def _play(setting: Setting, points: Points, tell: Tell) -> None:
    play(World(setting, "a", points, tell))


def _fork_kill(setting: Setting, kill: Mapping[str, Any]) -> tuple[Said, bool]:
    return _child(lambda tell: _play(setting, Points(kill["at"], kill["n"]), tell))


def _strace_kill(setting: Setting, kill: Mapping[str, Any]) -> tuple[Said, bool]:
    inject = f"inject={kill['at']}:signal=SIGKILL:when={kill['n']}"
    return _traced(setting, "-e", f"trace={kill['at']}", "-e", inject, "-o", os.devnull)


def _child(act: Callable[[Tell], None]) -> tuple[Said, bool]:
    """What a forked child told, and whether it was killed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _as_child(act, _teller(write))
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        told = [json.loads(line) for line in pipe]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return told, status == -signal.SIGKILL


def _as_child(act: Callable[[Tell], None], tell: Tell) -> None:
    """Act and end at once, without the parent's exit handlers; who does not end is ended."""
    signal.alarm(STUCK_SECONDS)
    try:
        act(tell)
    except BaseException:  # noqa: BLE001 - told to the parent, which reports it
        tell(error="".join(traceback.format_exception(sys.exception(), limit=-3))[-1500:])
    finally:
        os._exit(0)


def _teller(handle: int) -> Tell:
    def tell(**said: object) -> None:
        os.write(handle, json.dumps(said).encode() + b"\n")  # one write below PIPE_BUF: whole or not at all

    return tell


# --- counting what there is to kill at


def _count(setting: Setting) -> dict[str, Any]:
    """How often a scene passes each point, a recovery its statements, and each system call of one thread at most."""
    points = Points()

    def act(tell: Tell) -> None:
        _play(setting, points, tell)
        scene = dict(points.passed)
        points.passed.clear()
        recover(World(setting, "b", points, tell), [], "reclaim")
        tell(scene=scene, recovery=points.passed[STATEMENT])

    told, _ = _child(act)
    errors = [said["error"] for said in told if "error" in said]
    if errors:
        return {"errors": errors}
    return {**told[-1], "syscalls": _count_syscalls(setting) if setting.store == "sqlite" else {}, "errors": []}


def _count_syscalls(setting: Setting) -> dict[str, int]:
    """strace counts each thread by itself. Empty where strace is missing or may not trace."""
    if not _can_trace():
        return {}
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        log, fresh = Path(folder) / "strace.log", Setting(store="sqlite", folder=Path(folder), seed=setting.seed)
        _traced(fresh, "-e", f"trace={','.join(SYSCALLS)}", "-o", str(log))
        return _most_of_a_thread(log.read_text("utf-8", "replace").splitlines())


def _can_trace() -> bool:
    probe = [*STRACE, "-e", "trace=fdatasync", "-o", os.devnull, "true"]
    return shutil.which("strace") is not None and subprocess.run(probe, check=False).returncode == 0


def _most_of_a_thread(lines: Iterable[str]) -> dict[str, int]:
    made: Counter[tuple[str, str]] = Counter()
    for line in lines:
        thread, _, call = line.partition(" ")
        made.update((name, thread) for name in SYSCALLS if call.lstrip().startswith(f"{name}("))
    return {name: max((n for (of, _), n in made.items() if of == name), default=0) for name in SYSCALLS}


def _traced(setting: Setting, *options: str) -> tuple[Said, bool]:
    """A scene in a new process under strace."""
    job = json.dumps({"folder": str(setting.folder), "seed": setting.seed, "mutant": setting.mutant})
    command = [*STRACE, *options, sys.executable, "-m", __spec__.name, job]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=STUCK_SECONDS)
    told = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return told, done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Serve jobs until standard input ends; with an argument, play that scene."""
    if arguments:
        job = json.loads(arguments[0])
        setting = Setting(store="sqlite", folder=Path(job["folder"]), seed=job["seed"], mutant=job["mutant"])
        _as_child(lambda tell: _play(setting, Points(), tell), _teller(sys.stdout.fileno()))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(work_off(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
