"""Fixtures of the CLI's tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headgate.cli import main
from tests.cli.standin import Standin, standin


@dataclass
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own settings, and an empty folder to work in."""
    for name in os.environ:
        if name.startswith("HEADGATE_") or name in ("PORT", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def run(*arguments: str) -> Result:
        code = main(arguments)
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def server() -> Iterator[Standin]:
    with standin() as it:
        yield it


@pytest.fixture
def demo(server: Standin, tmp_path: Path) -> Path:
    """demo.json of the stand-in, where the CLI looks for it."""
    folder = tmp_path / ".headgate"
    folder.mkdir()
    tenants = {name: {"plan": name.split("-")[0], "apiKey": f"key-{name}"} for name in ("free-demo", "pro-demo")}
    path = folder / "demo.json"
    path.write_text(json.dumps({"url": server.url, "operator": {"apiKey": "key-operator"}, "tenants": tenants}))
    return path
