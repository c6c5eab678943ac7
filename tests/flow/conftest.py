"""A world per test; every test ends with a sweep, and the invariants checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.flow import invariants, sweep
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    sweep.sweep(made.deps, made.dispatcher)  # tests move the clock; what was due then is for the sweep
    assert invariants.check(made.deps).violations == ()
