"""The kind `git` against real repositories of this host."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from headgate.core.policy import RunLimits
from headgate.handlers.git import GitHandler
from headgate.handlers.interface import Done, Failed, HandlerConfig, InvalidInput

AS_ROOT = os.geteuid() == 0


def test_a_local_repository(git, mirror, repo: Path, artifacts: Path, tmp_path: Path):
    done = mirror(repo)
    assert isinstance(done, Done), done
    head = git(repo, "rev-parse", "HEAD")
    size = (artifacts / "repo.bundle").stat().st_size
    assert done.result == {"head": head, "branches": ["feature/x", "main"], "bytes": size}
    assert done.usage is not None
    assert done.usage.duration_seconds > 0
    summary = json.loads((artifacts / "summary.json").read_text())
    assert summary == {"url": str(repo), "ref": None, **done.result}
    git(tmp_path, "clone", "--quiet", str(artifacts / "repo.bundle"), "again")
    assert git(tmp_path / "again", "log", "--format=%s") == "two\none"
    assert (tmp_path / "again" / "file").read_text() == "one\n"


@pytest.mark.parametrize(("ref", "commit"), [("main", "main"), ("feature/x", "feature/x"), ("v1", "v1")])
def test_one_ref(git, mirror, repo: Path, artifacts: Path, tmp_path: Path, ref: str, commit: str):
    done = mirror(repo, ref)
    assert isinstance(done, Done), done
    assert done.result["head"] == git(repo, "rev-parse", commit)
    heads = git(artifacts, "bundle", "list-heads", "repo.bundle").splitlines()
    assert sorted(line.split()[1].rpartition("/")[2] for line in heads) == sorted(["HEAD", ref.rpartition("/")[2]])
    git(tmp_path, "clone", "--quiet", str(artifacts / "repo.bundle"), "again")
    assert git(tmp_path / "again", "rev-parse", "HEAD") == done.result["head"]
    assert (tmp_path / "again" / "file").exists()


def test_a_bare_repository(git, mirror, repo: Path, root: Path):
    git(root, "clone", "--quiet", "--bare", "project", "bare.git")
    assert isinstance(mirror(root / "bare.git"), Done)


def test_a_detached_head(git, mirror, repo: Path):
    git(repo, "checkout", "--quiet", "--detach", "HEAD~1")
    done = mirror(repo)
    assert isinstance(done, Done), done
    assert done.result["head"] == git(repo, "rev-parse", "HEAD")


def test_a_work_folder_that_is_closed_to_the_child(mirror, repo: Path, tmp_path: Path):
    tmp_path.chmod(0o700)
    (tmp_path / "work").mkdir()
    assert isinstance(mirror(repo, where=tmp_path / "work"), Done)


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a folder away")
def test_a_repository_of_somebody_else(mirror, repo: Path):
    for path in (repo, *repo.rglob("*")):
        os.lchown(path, 12345, 12345)
    assert isinstance(mirror(repo), Done)


@pytest.mark.parametrize("ref", ["nope", "feature", "HEAD", "mai", "heads/main"])
def test_a_missing_ref(mirror, repo: Path, ref: str):
    failed = mirror(repo, ref)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("HANDLER_ERROR", False)
    assert f"no branch or tag '{ref}'" in failed.message


def test_an_empty_repository(git, mirror, root: Path):
    (root / "empty").mkdir()
    git(root / "empty", "init", "--quiet")
    failed = mirror(root / "empty")
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("HANDLER_ERROR", False)
    assert failed.message == "The repository is empty: push a commit, then run it again."


def test_a_broken_repository(mirror, repo: Path):
    shutil.rmtree(repo / ".git" / "objects")
    (repo / ".git" / "objects").mkdir()
    failed = mirror(repo)
    assert isinstance(failed, Failed)
    assert failed.code in ("EXIT_NONZERO", "HANDLER_ERROR")
    assert not failed.retryable
    assert "git failed: " in failed.message


def test_no_repository(handler, root: Path):
    for path in (root, root / "nothing", root / "file"):
        (root / "file").write_text("x")
        with pytest.raises(InvalidInput, match="is no git repository"):
            handler.check({"url": str(path)})


def test_ways_out_of_the_allowed_folder(git, handler, repo: Path, root: Path, tmp_path: Path):
    """A repository elsewhere, reached by a link, a linked worktree, borrowed objects or a name that looks alike."""
    secret = Path(shutil.copytree(repo, tmp_path / "repos-secret"))
    (root / "link").symlink_to(secret)
    for name in ("refs", "objects"):
        linked = Path(shutil.copytree(repo, root / f"linked-{name}"))
        shutil.rmtree(linked / ".git" / name)
        (linked / ".git" / name).symlink_to(secret / ".git" / name)
    inner = Path(shutil.copytree(repo, root / "linked-git"))
    shutil.rmtree(inner / ".git")
    (inner / ".git").symlink_to(secret / ".git")
    git(secret, "worktree", "add", "--quiet", str(root / "worktree"), "feature/x")
    borrowed = Path(shutil.copytree(repo, root / "borrowed"))
    (borrowed / ".git/objects/info").mkdir(exist_ok=True)
    (borrowed / ".git/objects/info/alternates").write_text(f"{secret}/.git/objects\n")
    common = Path(shutil.copytree(repo, root / "common"))
    (common / ".git/commondir").write_text(f"{secret}/.git\n")
    paths = ["link", "linked-refs", "linked-objects", "linked-git", "worktree", "borrowed", "common", "../repos-secret"]
    for path in (*(root / path for path in paths), secret, "/", "/etc", f"{repo}\0", "/no/such/place"):
        with pytest.raises(InvalidInput) as refused:
            handler.check({"url": str(path)})
        assert "outside the allowed folders" in str(refused.value) or "no git repository" in str(refused.value)
        assert str(secret) not in str(refused.value)


def test_without_roots_there_are_no_local_paths(repo: Path):
    with pytest.raises(InvalidInput, match="outside the allowed folders: give an https URL"):
        GitHandler(HandlerConfig()).check({"url": str(repo)})


def test_the_configuration_of_a_local_repository_starts_nothing(git, mirror, repo: Path, tmp_path: Path):
    """Whoever owns the repository must not command the worker, who reads it as its own user."""
    touched = tmp_path / "touched"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch {touched}\n")
    script.chmod(0o755)
    for hook in ("post-checkout", "pre-auto-gc", "reference-transaction", "post-index-change"):
        shutil.copy(script, repo / ".git" / "hooks" / hook)
    for key in ("fsmonitor", "sshCommand", "pager", "editor", "askPass", "gitProxy", "alternateRefsCommand"):
        git(repo, "config", f"core.{key}", str(script))
    for key in ("uploadpack.packObjectsHook", "gpg.program", "diff.external", "credential.helper", "pager.bundle"):
        git(repo, "config", key, str(script))
    git(repo, "config", "core.hooksPath", str(repo / ".git" / "hooks"))
    git(repo, "config", "alias.bundle", f"!{script}")
    git(repo, "config", "filter.x.clean", str(script))
    (repo / ".git/info/attributes").write_text("* filter=x diff=x\n")
    assert isinstance(mirror(repo), Done)
    # A promised object that is missing makes git fetch it, from a remote that is a command.
    git(repo, "config", "core.repositoryFormatVersion", "1")
    git(repo, "config", "extensions.partialClone", "origin")
    git(repo, "config", "remote.origin.url", str(repo))
    git(repo, "config", "remote.origin.promisor", "true")
    git(repo, "config", "remote.origin.uploadpack", str(script))
    blob = git(repo, "rev-parse", "HEAD:file")
    (repo / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert isinstance(mirror(repo), Failed)
    assert not touched.exists()


def test_limits_and_cancellation_hold_for_the_whole(mirror, handler, repo: Path, make_job):
    failed = mirror(repo, limits=RunLimits(duration_seconds=0.05))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.state) == ("TIMED_OUT", "timed_out")
    job = make_job({"url": str(repo)}, kind="git")
    job.cancelled.set()
    failed = handler.run(job)
    assert isinstance(failed, Failed)
    assert failed.retryable
