"""A real system in this process, on SQLite and with real handlers, wired as the product wires it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headgate import wiring
from headgate.core.access import Caller, Role
from headgate.core.run import Run
from headgate.core.submission import Submission
from headgate.flow import sweep
from headgate.flow.deps import Asking
from headgate.flow.setup import create_tenant, prepare
from headgate.flow.submit import Accepted
from headgate.settings import load_settings
from headgate.wiring import System
from tests.support.emulators import free_port
from tests.support.world import Facts, HeldDelivery

TENANT = "acme"
OWNER = Caller(credential="key of acme", role=Role.OWNER, tenant=TENANT)


@contextlib.contextmanager
def pubsub_system(data: Path, **environment: str) -> Iterator[System]:
    """One whose delivery is Pub/Sub; unless the test says where it is, messages are taken and held.

    Its telemetry remembers (`said`). Tenant `acme` has the plan enterprise.
    """
    variables = {"HEADGATE_DATA": str(data), "HEADGATE_DELIVERY": "pubsub", "HEADGATE_SQLITE_SYNC": "normal"}
    variables |= {"HEADGATE_PUSH_AUTH": "none", "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}"}
    system = wiring.build(load_settings(variables | environment))
    _remember(system)
    if "PUBSUB_EMULATOR_HOST" not in environment:
        object.__setattr__(system.deps, "delivery", HeldDelivery())
    try:
        prepare(system.deps, system.dispatcher)
        create_tenant(system.deps, TENANT, "enterprise")
        system.executor.start()
        yield system
    finally:
        system.close()


def _remember(system: System) -> None:
    """Telemetry has one seam, and a system no door to it: the parts share one Deps, so it is changed in place."""
    object.__setattr__(system.deps, "telemetry", Facts())


def said(system: System, action: str) -> list[dict[str, object]]:
    """The facts said under this action."""
    telemetry = system.deps.telemetry
    assert isinstance(telemetry, Facts)
    return [facts for name, facts in telemetry.said if name == action]


def submit(system: System, command: str = "echo", *args: str, kind: str = "command", **asked: Any) -> Run:
    """An accepted run of tenant `acme`."""
    submission = Submission(kind=kind, input={"command": command, "args": list(args)}, **asked)
    asking = Asking(request_id="req-of-submit", trace={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    answer = system.submitter.submit(OWNER, TENANT, submission, asking)
    assert isinstance(answer, Accepted), answer
    return answer.run


def stored(system: System, run: Run) -> Run:
    """The run as it is now."""
    found = system.deps.store.get(Run, run.id)
    assert found is not None
    return found


def eventually(system: System, run: Run, *states: str, seconds: float = 20.0) -> Run:
    """The run once it is in one of these states."""
    until = time.monotonic() + seconds
    while (now := stored(system, run)).state not in states:
        assert time.monotonic() < until, f"run is {now.state}, not {states}"
        time.sleep(0.02)
    return now


def swept_until(system: System, run: Run, attempt: int, state: str, seconds: float = 60.0) -> Run:
    """The run once sweeps have brought it to that attempt and state."""
    until = time.monotonic() + seconds
    while ((now := stored(system, run)).attempt, now.state) != (attempt, state):
        assert time.monotonic() < until, f"run is {now.state} in attempt {now.attempt}"
        sweep.sweep(system.deps, system.dispatcher)
        time.sleep(0.2)
    return now
