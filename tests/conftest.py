"""Fixtures of all tests. They live in tests/support, one concern a file; this is only the list."""

from __future__ import annotations

import signal

import pytest

pytest_plugins = ["tests.support.emulators"]


def pytest_configure() -> None:
    """Programs started by the tests feel Ctrl-C and hang-ups, also when pytest itself runs under nohup or in the background."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


PROCESSES_AND_CLOCKS = ("acceptance", "cli", "contract", "handlers", "services", "verify")
"""Layers of real processes and real time: a neighbour on the machine can make one of their tests late, once."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What fails there is run once more, and the closing line says so ("rerun"); elsewhere a failure is final."""
    for item in items:
        if item.path.relative_to(item.config.rootpath).parts[1] in PROCESSES_AND_CLOCKS:
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=1))
