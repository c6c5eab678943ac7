"""A warmed process that kills its children: reads jobs from standard input, a JSON line each, and answers in kind.

Everything is imported here, a scene has been played once (what is made at first use, as the readers of documents, is
made) and no thread is left, so each child is a fork that begins its scene at once:
`python -m headgate.verify.crash_lane` (jobs on standard input), or with a job as argument to play one scene under
strace.
"""

from __future__ import annotations

import contextlib
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
from dataclasses import replace
from pathlib import Path
from typing import Any

from headgate.verify.crash_points import FRESH, Points
from headgate.verify.crash_recovery import recover
from headgate.verify.crash_scene import Setting, Tell, World, play

STUCK_SECONDS = 60
SYSCALLS = ("pwrite64", "fdatasync")
STRACE = ("strace", "-f", "-qq")
"""Without --seccomp-bpf, which is faster and injects nothing (strace 6.1)."""

Said = list[dict[str, Any]]


def work_off(job: Mapping[str, Any]) -> dict[str, Any]:
    """One job's answer. `job`: store, seed, mutant and `kill` (at, n, recovery, again_at, again), or `count`: with system
    calls or without."""
    if job["store"] == "firestore":
        importlib.import_module("headgate.store.firestore")  # once, before the fork
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        setting = Setting(store=job["store"], folder=Path(folder), seed=job["seed"], mutant=job["mutant"])
        return _count(setting, job["count"]) if "count" in job else _kill(setting, job["kill"])


def _kill(setting: Setting, kill: Mapping[str, Any]) -> dict[str, Any]:
    told, died = _strace_kill(setting, kill) if kill["at"] in SYSCALLS else _fork_kill(setting, kill)
    deaths = int(died)
    if kill["again"]:
        more, died = _child(
            lambda tell: _recover(setting, told, kill, Points(kill["again_at"], kill["again"]), "b", tell)
        )
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


def _count(setting: Setting, syscalls: bool) -> dict[str, Any]:
    """How often a scene passes each point, what its fresh statements stand for, how often the recovery from a death in its
    middle passes each point, and how many system calls of each kind one thread makes at most."""
    played = _counted(lambda points: _play(setting, points, _to_nobody))
    if "error" in played:
        return {"errors": [played["error"]]}
    middle = _middle(played["passed"])
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        half = replace(setting, folder=Path(folder))
        told, _ = _fork_kill(half, middle)
        recovered = _counted(lambda points: recover(World(half, "b", points, _to_nobody), told, "reclaim"))
    if "error" in recovered:
        return {"errors": [recovered["error"]]}
    traced = syscalls and setting.store == "sqlite"
    counts = {"scene": played["passed"], "recovery": recovered["passed"], "stands_for": played["stands_for"]}
    return {**counts, "middle": middle, "syscalls": _count_syscalls(setting) if traced else {}, "errors": []}


def _counted(act: Callable[[Points], None]) -> dict[str, Any]:
    """What a child passed that is not killed, or its `error`."""

    def count(tell: Tell) -> None:
        points = Points()
        act(points)
        tell(passed=points.passed, stands_for=points.stands_for)

    told, _ = _child(count)
    return told[-1]


def _middle(passed: Mapping[str, int]) -> dict[str, Any]:
    """A kill half-way; where there are no statements, in one of the pauses."""
    at = FRESH if FRESH in passed else "pause: after commit"
    return {"at": at, "n": (passed[at] + 1) // 2}


def _to_nobody(**said: object) -> None:
    """A scene that is only counted has no watcher."""


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


def _warm() -> None:
    """Play once. What goes wrong is not told here: the count, which comes first of all jobs, tells it."""
    with tempfile.TemporaryDirectory(prefix="crash-") as folder, contextlib.suppress(Exception):
        world = World(Setting(store="sqlite", folder=Path(folder), seed=0), "a", Points(), _to_nobody)
        try:
            play(world)
        finally:
            world.deps.store.close()  # whatever happened: its threads must be gone before a fork


def main(arguments: list[str]) -> None:
    """Serve jobs until standard input ends; with an argument, play that scene."""
    if arguments:
        job = json.loads(arguments[0])
        setting = Setting(store="sqlite", folder=Path(job["folder"]), seed=job["seed"], mutant=job["mutant"])
        _as_child(lambda tell: _play(setting, Points(), tell), _teller(sys.stdout.fileno()))
    _warm()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(work_off(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
