"""Fixtures of all tests. They live in tests/support, one concern a file; this is only the list."""

pytest_plugins = ["tests.support.emulators"]
