"""A world per test; every test ends with the invariants checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.flow import invariants
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    assert invariants.check(made.deps).violations == ()
