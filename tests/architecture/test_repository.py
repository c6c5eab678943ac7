"""The repository itself: what may stand in it, what the lock file and the wheel must hold, what `make` offers."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

MACHINE = re.compile(r"(?<![\w.-])/(work|root|farm)/")
"""Folders of the machines that headgate was written on."""

REGISTRY = re.compile(
    r"[p]ythonhosted|pypi\.org|registry\.npmjs|proxy\.golang|deb\.debian|repo1\.maven|crates\.io|--(extra-)?index-url"
)


def files(*below: str) -> list[Path]:
    """The files that are, or would be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *below]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"not a git work tree: {result.stderr.strip()}")
    return [ROOT / name for name in result.stdout.split("\0") if name and (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:160]}"
        for path in files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_paths_of_a_machine() -> None:
    assert lines_with(MACHINE) == []


def test_no_package_registries() -> None:
    assert lines_with(REGISTRY) == []


def test_files_stay_readable() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in files("services/*.py")}

    assert lengths, "no files found: is services/ gone?"
    assert {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > 450} == {}


# --- the lock file


def locked() -> dict[str, tuple[str, int]]:
    """Of each locked package the version and the number of its hashes."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    parts = [re.fullmatch(r"([\w.-]+)==([^\s;]+)(.*)", entry) for entry in entries]
    assert all(parts), f"not `name==version`: {[e for e, p in zip(entries, parts, strict=True) if not p]}"
    return {canonicalize_name(p[1]): (p[2], p[3].count("--hash=sha256:")) for p in parts if p}


def test_the_lock_file_fixes_everything_the_project_asks_for() -> None:
    lock = locked()
    asked = [
        *PYPROJECT["project"]["dependencies"],
        *PYPROJECT["dependency-groups"]["dev"],
        *PYPROJECT["build-system"]["requires"],
    ]

    for requirement in map(Requirement, asked):
        version, _ = lock.get(canonicalize_name(requirement.name), ("", 0))
        assert version, f"{requirement.name} is not in requirements.lock: make lock"
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}: make lock"


def test_every_locked_package_has_hashes() -> None:
    assert [name for name, (_, hashes) in locked().items() if not hashes] == []


def test_the_lock_file_has_no_addresses() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()


# --- the wheel


def test_the_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr

    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        [points] = (archive.read(name).decode() for name in held if name.endswith("entry_points.txt"))

    expected = {path.relative_to(ROOT / "services").as_posix() for path in files("services/headgate")}
    assert "headgate/py.typed" in expected
    assert expected - held == set()
    assert [name for name in held if not name.startswith(("headgate/", "headgate-"))] == []
    assert "headgate = headgate.cli:main" in points
    assert any(name.endswith("licenses/LICENSE") for name in held)


# --- make


@pytest.mark.parametrize("target", ["run", "test", "check", "fmt", "lock", "clean"])
def test_make_offers(target: str) -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"make {target} " in listed

    tried = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr


OLD_PYTHON = """#!/bin/sh
case "$2" in
*print*) echo 3.8 ;;
*sys.exit*) exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\nexit 127\n", "No {python} was found."),
        (OLD_PYTHON, "{python} is 3.8."),
        (
            OLD_PYTHON.replace("*sys.exit*", "*ensurepip*").replace("3.8", "3.12"),
            "{python} (3.12) lacks the venv module",
        ),
    ],
)
def test_make_says_what_is_missing(tmp_path: Path, script: str, said: str) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    python = tmp_path / "python"
    python.write_text(script)
    python.chmod(0o755)

    result = subprocess.run(["make", "run", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)

    assert result.returncode != 0
    assert "headgate needs Python 3.11 or newer" in result.stderr
    assert said.format(python=python) in result.stderr


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()

    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert [n for n in range(1, 10) if f"\n   {n}. " not in text] == []
    assert "END OF TERMS AND CONDITIONS" in text
