"""The worker as a service: `gunicorn -k gthread --threads 64 --graceful-timeout 9 'headgate.worker.wsgi:app()'`.

Each worker process builds its own system after the fork. On SIGTERM the executor claims nothing more, gives live runs
five seconds, then ends them and puts them back in line; gunicorn meanwhile waits for their requests. SIGKILL after ten
seconds loses nothing: leases run out, and the sweep takes the runs back.
"""

from __future__ import annotations

import atexit
import signal
import threading
from types import FrameType

from flask import Flask

from headgate import wiring
from headgate.settings import load_settings_from_environment
from headgate.web.health import ALIVE
from headgate.wiring import System
from headgate.worker.app import create_worker


def app() -> Flask:
    """The application of this process, its executor started. Raises what a start must stop for: see wiring.build."""
    system = wiring.build(load_settings_from_environment())
    system.start()
    atexit.register(system.close)
    _stop_on_sigterm(system)
    worker = create_worker(system)
    worker.add_url_rule(ALIVE, ALIVE, lambda: {"status": "ok"}, provide_automatic_options=False)
    return worker


def _stop_on_sigterm(system: System) -> None:
    """Stop the executor as soon as the signal comes: the server's own handler only waits for the requests under way."""
    servers = signal.getsignal(signal.SIGTERM)

    def stop(signum: int, frame: FrameType | None) -> None:
        # In a thread: a signal handler must not wait, and the server's loop goes on in the main thread.
        threading.Thread(target=system.executor.stop, name="stop").start()
        if callable(servers):
            servers(signum, frame)

    if callable(servers):  # otherwise no server catches the signal: the process dies of it, as by SIGKILL
        signal.signal(signal.SIGTERM, stop)
        signal.siginterrupt(signal.SIGTERM, False)
