"""One child as its worker sees it: a supervisor (`stub.py`), two pipes, and a look into /proc now and then."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from headgate.core.policy import RunLimits
from headgate.core.run import Usage
from headgate.handlers import meter, stub
from headgate.handlers.interface import Cancellation
from headgate.handlers.orphans import end_orphans

_log = logging.getLogger(__name__)

Reason = Literal["exit", "duration", "memory", "cpu", "cancelled"]
Clock = Callable[[], float]

_POLL = 0.1
"""Seconds between looks at cancellation and the clock when the child is silent."""
_CHUNK = 64 * 1024
_FIRST_SAMPLE, _SAMPLE, _CLOSE_SAMPLE = 0.05, 1.0, 0.1
"""Memory and CPU are read every second, more often in the first (short runs have a peak too), and while they are near
the limit."""
_STOPPING = 1.5
"""Seconds that the supervisor has for killing its tree (it takes one) before we do it from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnd:
    """How a child ended. `reason` other than "exit" means that we ended it; then there may be no exit code.

    Killed by a signal: `exit_code` is None and `signal` is set. Could not be started: 126 or 127, and `tail` says why.
    """

    reason: Reason
    exit_code: int | None
    signal: int | None
    tail: bytes
    output_bytes: int
    truncated: bool
    usage: Usage
    layers: tuple[str, ...] = ()
    """The layers of `sandbox.py` that held for it."""


class ChildLost(RuntimeError):
    """The supervisor ended without a word: somebody killed it, or it could not start."""


class Child:
    """One supervisor and its tree, as its worker sees it: two pipes, and a look into /proc now and then."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        pipes: tuple[int, int],
        workdir: Path,
        on_output: Callable[[bytes], None],
        tail_bytes: int,
        clock: Clock,
    ) -> None:
        self._process, (self._output, self._reports) = process, pipes
        self._workdir, self._on_output, self._tail_bytes = workdir, on_output, tail_bytes
        self._clock, self._started = clock, clock()
        self._tail, self._output_bytes = bytearray(), 0
        self._peak, self._cpu, self._report = 0, 0.0, b""
        self._reporting = True
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)
        self._poll.register(self._reports, select.POLLIN)

    @classmethod
    def start(
        cls, order: Mapping[str, object], on_output: Callable[[bytes], None], tail_bytes: int, clock: Clock
    ) -> Self:
        """Start the supervisor, which starts what `order` says. The order is the stub's, less its pipe."""
        output, child_output = os.pipe()
        reports, child_reports = os.pipe()
        try:
            process = _popen({**order, "report": child_reports}, child_output, child_reports)
            return cls(process, (output, reports), Path(str(order["workdir"])), on_output, tail_bytes, clock)
        except BaseException:  # without a process nobody else would close our ends
            os.close(output)
            os.close(reports)
            raise
        finally:
            os.close(child_output)
            os.close(child_reports)

    def follow(self, limits: RunLimits, cancelled: Cancellation) -> Reason:
        """Pass the output on until the child ends or must be ended, and say which."""
        sample, pause = self._started + _FIRST_SAMPLE, _FIRST_SAMPLE
        deadline = self._started + limits.duration_seconds
        while True:
            now = self._clock()
            self._pump(max(0.0, min(_POLL, sample - now, deadline - now)))
            now = self._clock()
            if not self._reporting:
                return "exit"
            if cancelled.is_set():
                return "cancelled"
            if now >= deadline:
                return "duration"
            if now >= sample:
                if breach := self._breach(limits):
                    return breach
                pause = min(2 * pause, _SAMPLE)
                sample = now + (pause if self._peak < limits.memory_bytes / 2 else min(pause, _CLOSE_SAMPLE))

    def _breach(self, limits: RunLimits) -> Reason | None:
        pids = stub.descendants(self._process.pid)
        memory = meter.memory_bytes(pids)
        self._peak = max(self._peak, memory)
        self._cpu = max(self._cpu, meter.cpu_seconds(self._process.pid, pids))
        if memory > limits.memory_bytes:
            return "memory"
        return "cpu" if self._cpu > limits.cpu_cores * limits.duration_seconds else None

    def _pump(self, timeout: float) -> None:
        """Wait for news and take one piece of each pipe. The report pipe closes when the supervisor is done."""
        for pipe, _ in self._poll.poll(timeout * 1000):
            piece = os.read(pipe, _CHUNK)
            if not piece:
                self._poll.unregister(pipe)
                self._reporting = self._reporting and pipe != self._reports
            elif pipe == self._reports:
                self._report += piece
            else:
                self._take(piece)

    def _take(self, piece: bytes) -> None:
        self._output_bytes += len(piece)
        self._tail += piece
        del self._tail[: -self._tail_bytes or len(self._tail)]
        self._on_output(piece)

    def stop(self) -> None:
        """End the tree, within `_STOPPING` seconds, and take the output that is still in the pipe."""
        if self._reporting:
            self._process.terminate()
        deadline = self._clock() + _STOPPING
        while self._reporting and (left := deadline - self._clock()) > 0:
            self._pump(min(left, _POLL))
        if self._reporting:
            self._end_by_force()
        for _ in range(16):  # the pipe holds no more than one piece; a survivor must not feed us for ever
            self._pump(0)

    def _end_by_force(self) -> None:
        _log.warning("supervisor %d did not end by itself and is killed", self._process.pid)
        stub.strike(self._process.pid)
        self._process.kill()

    def ended(self, reason: Reason, limits: RunLimits, layers: tuple[str, ...]) -> ChildEnd:
        """The end as a value."""
        if not self._report and reason == "exit":
            raise ChildLost(f"the supervisor ended without a report; last output: {bytes(self._tail[-500:])!r}")
        report = json.loads(self._report or b'{"exit": null, "signal": null, "cpu": 0, "peak": 0, "gone": true}')
        if not report["gone"]:
            _log.warning("processes of a child were still alive a second after they were killed")
        if report["signal"] == signal.SIGXCPU:
            reason = "cpu"  # the kernel was quicker than our look every second
        if reason == "exit" and report["exit"] != 0 and report["peak"] > limits.memory_bytes:
            reason = "memory"  # here too: it went over between two looks, and broke on the kernel's own limit
        return ChildEnd(
            reason=reason,
            exit_code=report["exit"],
            signal=report["signal"],
            tail=bytes(self._tail),
            output_bytes=self._output_bytes,
            truncated=self._output_bytes > len(self._tail),
            usage=Usage(
                peak_memory_bytes=max(self._peak, report["peak"]),
                cpu_seconds=round(max(self._cpu, report["cpu"]), 3),
                duration_seconds=round(self._clock() - self._started, 3),
            ),
            layers=layers,
        )

    def close(self) -> None:
        """Let go of everything, whatever happened: also after an exception in the middle no process stays."""
        os.close(self._output)
        os.close(self._reports)
        self._process.terminate()
        try:
            self._process.wait(timeout=_STOPPING)
        except subprocess.TimeoutExpired:
            self._end_by_force()
            self._process.wait(timeout=1)
        if not self._report:  # the supervisor was killed: only now has the kernel told those below it, too
            end_orphans(self._workdir)


def _popen(order: Mapping[str, object], output: int, report: int) -> subprocess.Popen[bytes]:
    """The stub gets no environment but the loader's path, without which some Pythons do not start."""
    environment = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
    with os.fdopen(os.memfd_create("headgate-order"), "w+b") as file:
        file.write(json.dumps(order).encode())
        file.seek(0)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", stub.__file__],
            stdin=file,
            stdout=output,
            stderr=output,
            pass_fds=(report, *((claim,) if isinstance(claim := order["claim"], int) else ())),
            env=environment,
            cwd="/",
        )
