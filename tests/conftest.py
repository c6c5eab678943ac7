"""Fixtures of all tests. They live in tests/support, one concern a file; this is only the list."""

from __future__ import annotations

import signal

pytest_plugins = ["tests.support.emulators"]


def pytest_configure() -> None:
    """Programs started by the tests feel Ctrl-C and hang-ups, also when pytest itself runs under nohup or in the background."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
