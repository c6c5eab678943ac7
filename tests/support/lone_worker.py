"""A worker in a process of its own, to be stopped, continued or killed: `python -m tests.support.lone_worker RUN FENCE`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headgate import wiring
from headgate.core.run import Run
from headgate.delivery.port import Message
from headgate.settings import load_settings

ROOT = Path(__file__).parents[2]
QUICK_LEASE = {"HEADGATE_LEASE_SECONDS": "3", "HEADGATE_HEARTBEAT_SECONDS": "0.5"}


@dataclass
class LoneWorker:
    """The process, and what it says."""

    process: subprocess.Popen[str]
    log_file: Path

    def answer(self, timeout: float = 60.0) -> str:
        """What came of its message, once it is done with it."""
        said, _ = self.process.communicate(timeout=timeout)
        return said.strip()

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")


@contextlib.contextmanager
def lone_worker(data: Path, run: Run, **environment: str) -> Iterator[LoneWorker]:
    """A worker that was pushed the run's message; killed at the end of the block if it still lives."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HEADGATE_", "FIRESTORE_", "PUBSUB_"))}
    ours = {"HEADGATE_DATA": str(data), "HEADGATE_DELIVERY": "pubsub", "HEADGATE_PUSH_AUTH": "none"}
    ours |= {"PUBSUB_EMULATOR_HOST": "127.0.0.1:9", "HEADGATE_LOG": "json"}
    path = {"PYTHONPATH": os.pathsep.join((str(ROOT / "services"), str(ROOT)))}
    log_file = data / f"worker-{run.fence}.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, run.id, str(run.fence)],
            env={**inherited, **ours, **path, **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield LoneWorker(process, log_file)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def main(run_id: str, fence: str) -> None:
    system = wiring.build(load_settings(dict(os.environ)))
    system.executor.start()
    print(system.executor.handle(Message(run_id=run_id, fence=int(fence))).name, flush=True)
    system.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
