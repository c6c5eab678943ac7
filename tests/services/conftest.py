"""A wired system in a folder of its own, its API with every answer held against the OpenAPI document, and a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.flow import invariants
from headgate.wiring import System
from tests.services.served import Api, Server, Stage, build_system, hold_messages


@pytest.fixture
def stage() -> Stage:
    """The kind `stage`: its runs do what the test says."""
    return Stage()


@pytest.fixture
def system(tmp_path: Path, stage: Stage) -> Iterator[System]:
    """A system whose messages go nowhere: what is admitted stays pending, so that slots stay taken."""
    made = build_system(tmp_path, stage)
    hold_messages(made)
    yield made
    assert invariants.check(made.deps).violations == ()
    made.close()


@pytest.fixture
def working(tmp_path: Path, stage: Stage) -> Iterator[System]:
    """A system that executes runs."""
    made = build_system(tmp_path, stage)
    made.start()
    yield made
    stage.over.set()
    made.close()


@pytest.fixture
def api(system: System) -> Api:
    """The Flask app of `system`, without a front."""
    return Api(system)


@pytest.fixture(scope="module")
def shared_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API for the tests of a module that leave nothing behind: what they ask is refused."""
    made = build_system(tmp_path_factory.mktemp("shared"), Stage())
    hold_messages(made)
    yield Api(made)
    made.close()


@pytest.fixture
def server(working: System) -> Iterator[Server]:
    """`working` served by uvicorn on a free port."""
    with Server(working) as running:
        yield running
