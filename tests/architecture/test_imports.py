"""Who may import whom, and where clock and chance may be touched: the linters are clean, and do see a violation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def lint_imports(services: Path) -> subprocess.CompletedProcess[str]:
    """lint-imports with the project's contracts over the package below `services`."""
    return subprocess.run(
        [BIN / "lint-imports", "--config", ROOT / "pyproject.toml", "--no-cache", "--no-logo"],
        cwd=services,
        env=os.environ | {"PYTHONPATH": str(services)},
        capture_output=True,
        text=True,
    )


def ruff(path: str, source: str) -> str:
    """What ruff says of `source`, were it the file `path` of the repository."""
    command = [str(BIN / "ruff"), "check", "--no-cache", "--output-format", "concise", "--stdin-filename", path, "-"]
    return subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True).stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of services/ to plant a violation in."""
    return shutil.copytree(ROOT / "services", tmp_path / "services", ignore=shutil.ignore_patterns("__pycache__"))


def plant(services: Path, module: str, imported: str) -> None:
    """Make `module`, which imports `imported`; make that too where nobody has written it yet."""
    parts = imported.split(".")
    target = services.joinpath(*parts)
    if parts[0] == "headgate" and not target.is_dir() and not target.with_suffix(".py").exists():
        target.with_suffix(".py").write_text('"""Planted."""\n')
    with services.joinpath(*module.split(".")).with_suffix(".py").open("a") as file:
        file.write(f"\nimport {imported}\n")


def test_the_tree_keeps_the_contracts() -> None:
    result = lint_imports(ROOT / "services")

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("headgate.core.planted", "headgate.store", "Each layer imports only what lies below it"),
        ("headgate.flow.planted", "headgate.web", "Each layer imports only what lies below it"),
        ("headgate.web.planted", "headgate.wiring", "Each layer imports only what lies below it"),
        ("headgate.api.planted", "headgate.gateway", "Each layer imports only what lies below it"),
        ("headgate.console.planted", "headgate.worker", "Each layer imports only what lies below it"),
        ("headgate.wiring", "headgate.serve", "Each layer imports only what lies below it"),
        ("headgate.serve", "headgate.cli", "Each layer imports only what lies below it"),
        ("headgate.flow.planted", "headgate.drills", "Each layer imports only what lies below it"),
        ("headgate.planted", "headgate.core", "Each layer imports only what lies below it"),  # not in any layer
        ("headgate.flow.planted", "headgate.store.sqlite", "flow sees ports, never adapters"),
        ("headgate.flow.planted", "headgate.store.firestore", "flow sees ports, never adapters"),
        ("headgate.flow.planted", "headgate.delivery.embedded", "flow sees ports, never adapters"),
        ("headgate.flow.planted", "headgate.delivery.pubsub", "flow sees ports, never adapters"),
        ("headgate.flow.planted", "flask", "flow sees no vendor"),
        ("headgate.flow.planted", "starlette", "flow sees no vendor"),
        ("headgate.flow.planted", "google.cloud.firestore", "flow sees no vendor"),
        ("headgate.flow.planted", "sqlite3", "flow sees no vendor"),
        ("headgate.store.planted", "headgate.core.admission", "store and delivery do not decide"),
        ("headgate.store.planted", "headgate.core.fairness", "store and delivery do not decide"),
        ("headgate.delivery.planted", "headgate.core.pressure", "store and delivery do not decide"),
        ("headgate.delivery.planted", "headgate.core.line", "store and delivery do not decide"),
        ("headgate.core.planted", "pydantic", "core is the standard library's only"),
        ("headgate.core.planted", "time", "core is the standard library's only"),
        ("headgate.api.planted", "headgate.sources", "clock, chance and ids are made in one place"),
    ],
)
def test_a_violation_is_reported(copy: Path, module: str, imported: str, contract: str) -> None:
    plant(copy, module, imported)

    result = lint_imports(copy)

    assert result.returncode == 1, result.stdout + result.stderr
    broken = [line for line in result.stdout.splitlines() if "BROKEN" in line]
    assert any(line.startswith(contract) for line in broken), result.stdout
    assert module in result.stdout


@pytest.mark.parametrize("module", ["headgate.wiring", "headgate.serve", "headgate.cli", "headgate.verify.planted"])
def test_those_who_put_the_parts_together_may_make_the_sources(copy: Path, module: str) -> None:
    plant(copy, module, "headgate.sources")
    plant(copy, "headgate.api.planted", "headgate.wiring")  # seeing it through the wiring is not importing it

    result = lint_imports(copy)

    assert result.returncode == 0, result.stdout + result.stderr


FORBIDDEN = [
    "import time\n\nnow = time.time()\n",
    "from time import time\n\nnow = time()\n",
    "import random\n",
    "import secrets\n",
    "import uuid\n",
    "from uuid import uuid4\n",
    "import os\n\nid = os.urandom(8)\n",
    "import datetime\n\nnow = datetime.datetime.now(datetime.UTC)\n",
    "from datetime import UTC, datetime\n\nnow = datetime.now(UTC)\n",
]


@pytest.mark.parametrize("source", FORBIDDEN)
@pytest.mark.parametrize("path", ["core/planted.py", "flow/planted.py", "store/planted.py", "api/planted.py"])
def test_clock_and_chance_are_forbidden(path: str, source: str) -> None:
    assert "TID251" in ruff(f"services/headgate/{path}", source)


@pytest.mark.parametrize("source", FORBIDDEN)
@pytest.mark.parametrize(
    "path", ["services/headgate/sources.py", "services/headgate/handlers/process.py", "tests/x.py"]
)
def test_clock_and_chance_are_allowed_at_their_source(path: str, source: str) -> None:
    assert "TID251" not in ruff(path, source)
