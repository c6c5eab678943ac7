"""What the tests of handlers share: a job to run, and a watch over processes that must be gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.core.policy import RunLimits
from headgate.core.run import Artifact
from headgate.handlers.git import GitHandler
from headgate.handlers.interface import Done, Failed, HandlerConfig, Job
from headgate.handlers.process import ChildEnd, run_child
from headgate.outbound.folder_artifacts import FolderArtifacts

QUIET = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
WHO = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")


@pytest.fixture
def workdir() -> Iterator[Path]:
    """A folder that `nobody` can reach: pytest's own lie below one that is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="headgate-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make_job(workdir: Path, tmp_path: Path) -> Callable[..., Job]:
    """Makes a job; `job.log` collects in `make_job.output`, artifacts go to a folder."""
    store = FolderArtifacts(tmp_path / "artifacts")
    output = bytearray()

    def save(name: str, source: Path, media_type: str) -> Artifact:
        return store.save("run-1", "1", name, source, media_type)

    def make(input: dict, *, limits: RunLimits | None = None, where: Path = workdir, kind: str = "command") -> Job:
        return Job(
            run_id="run-1",
            tenant="acme",
            kind=kind,
            attempt=1,
            input=input,
            limits=limits or RunLimits(duration_seconds=30.0),
            workdir=where,
            cancelled=threading.Event(),
            environment={"HEADGATE_RUN_ID": "run-1"},
            log=output.extend,
            save_artifact=save,
        )

    make.output = output  # type: ignore[attr-defined]
    return make


@pytest.fixture
def marked() -> Callable[[str], list[int]]:
    """Finds the living processes whose command line holds a text."""

    def find(text: str) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    line, stat = (entry / "cmdline").read_bytes(), (entry / "stat").read_text()
                except OSError:
                    continue
                if text.encode() in line and stat.rpartition(")")[2].split()[0] not in "ZX":
                    found.append(int(entry.name))
        return found

    return find


@pytest.fixture
def mark() -> str:
    """A text that no other test, and no process that a failed one left behind, has: a time to sleep."""
    return f"60.{time.time_ns()}"


@pytest.fixture
def soon() -> Callable[[Callable[[], bool]], bool]:
    """Waits until something is true, at most five seconds."""

    def wait(condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 5
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        return condition()

    return wait


@pytest.fixture
def run(workdir: Path) -> Callable[..., ChildEnd]:
    def run(*argv: str, cancelled: threading.Event | None = None, **options) -> ChildEnd:
        limits = {name: options.pop(name) for name in RunLimits.__slots__ if name in options}
        options.setdefault("environment", {"PATH": "/usr/bin:/bin"})
        return run_child(
            argv,
            workdir=options.pop("workdir", workdir),
            limits=RunLimits(**{"duration_seconds": 20.0, **limits}),
            cancelled=cancelled or threading.Event(),
            **options,
        )

    return run


@pytest.fixture
def git() -> Callable[..., str]:
    """Runs git in a folder, for the test itself."""

    def git(where: Path, *args: str) -> str:
        argv = ["git", "-C", str(where), *WHO, *args]
        return subprocess.run(argv, env=QUIET, capture_output=True, text=True, check=True).stdout.strip()

    return git


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "repos").mkdir()
    return tmp_path / "repos"


@pytest.fixture
def repo(root: Path, git) -> Path:
    """Two branches, a tag, and closed to everybody but its owner."""
    repo = root / "project"
    repo.mkdir()
    git(repo, "init", "--quiet")
    (repo / "file").write_text("one\n")
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "-m", "one")
    git(repo, "tag", "v1")
    git(repo, "branch", "feature/x")
    git(repo, "commit", "--quiet", "--allow-empty", "-m", "two")
    repo.chmod(0o700)
    return repo


@pytest.fixture
def handler(root: Path) -> GitHandler:
    return GitHandler(HandlerConfig(local_repos=(root,)))


@pytest.fixture
def mirror(handler: GitHandler, make_job) -> Callable[..., Done | Failed]:
    def mirror(url: object, ref: str | None = None, **options) -> Done | Failed:
        return handler.run(make_job({"url": str(url), "ref": ref}, kind="git", **options))

    return mirror


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return tmp_path / "artifacts" / "run-1" / "1"
