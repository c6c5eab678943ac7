"""A world whose promises are checked at the end of the test, and one for the controls, in which they may break."""

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


@pytest.fixture
def broken(tmp_path: Path) -> World:
    """Like `world`, for a scenario from which a practice is taken out."""
    return World(tmp_path / "broken")
