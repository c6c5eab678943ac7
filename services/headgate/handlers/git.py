"""The kind `git`: mirror a repository and leave a bundle of it.

A local repository may be closed to the child's user, so the worker's user writes a bundle of it into the child's
folder, and the child goes on from there exactly as it does from an https URL. How git is kept safe: `git_steps.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from headgate.core.errors import Code
from headgate.handlers.desk import desk
from headgate.handlers.git_steps import GitSteps, StepFailed
from headgate.handlers.interface import Done, Failed, HandlerConfig, InvalidInput, Job
from headgate.handlers.repository import Source, parse

_MIRROR = "--git-dir=mirror.git"
_RESULT_BRANCHES = 1000
"""So many branches are in the result, which is kept with the run; summary.json has them all."""


class GitHandler:
    """Mirrors a repository. Input `{"url": "https://…" or a path below an allowed root, "ref": "main" or null}`.

    Artifacts: `repo.bundle` (everything, or the ref alone) and `summary.json`. Result: `{head, branches, bytes}`, where
    `head` is the commit of the ref, or of HEAD (null if HEAD names a branch that does not exist).
    """

    kind = "git"

    def __init__(self, config: HandlerConfig) -> None:
        self._roots = config.local_repos
        self._hidden = config.hidden

    def check(self, input: Mapping[str, object]) -> None:
        """Refuse every URL, path and ref that is not of an allowed shape."""
        parse(input, self._roots)

    def run(self, job: Job) -> Done | Failed:
        """Mirror, bundle, save. A failure of the network may be tried again, others not."""
        try:
            source = parse(job.input, self._roots)  # again: links may have changed since the submission
            with desk(job.workdir) as place:
                steps = GitSteps(job, place, self._hidden)
                _mirror(source, steps)
                return _bundle(source, steps, job)
        except InvalidInput as error:
            return Failed(code=Code.HANDLER_ERROR, message=str(error))
        except StepFailed as end:
            return end.failed


def _mirror(source: Source, steps: GitSteps) -> None:
    if source.git_dir:
        steps.read_local(source.git_dir, "source.bundle")
        _clone(steps, "source.bundle", "file")
    else:
        _clone(steps, source.url, "https", steps.address_of(source.host))


def _clone(steps: GitSteps, origin: str, protocol: str, *settings: str) -> None:
    args = ("clone", "--mirror", "--template=", "--quiet", "--", origin, "mirror.git")
    steps.git(*args, settings=settings, protocols=protocol)


def _bundle(source: Source, steps: GitSteps, job: Job) -> Done:
    branches = steps.lines(_MIRROR, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")
    if not branches and not steps.lines(_MIRROR, "for-each-ref", "--count=1"):
        raise steps.failure(Code.HANDLER_ERROR, "The repository is empty: push a commit, then run it again.")
    ref = _full_ref(source.ref, steps) if source.ref else None
    head = steps.lines(_MIRROR, "rev-parse", "--verify", "--quiet", f"{ref or 'HEAD'}^{{commit}}")
    steps.git(_MIRROR, "bundle", "create", "--quiet", "repo.bundle", *(_only(ref, head, steps) if ref else ("--all",)))
    bundle, summary = steps.workdir / "repo.bundle", steps.workdir / "summary.json"
    facts = {"head": head[0] if head else None, "branches": branches, "bytes": bundle.lstat().st_size}
    summary.unlink(missing_ok=True)  # the folder was the child's: never write through a link that it left
    summary.write_text(json.dumps({"url": source.url, "ref": source.ref, **facts}, indent=2) + "\n", "utf-8")
    job.save_artifact("repo.bundle", bundle, "application/x-git-bundle")
    job.save_artifact("summary.json", summary, "application/json")
    return Done({**facts, "branches": branches[:_RESULT_BRANCHES]}, steps.usage, steps.sandbox)


def _only(ref: str, head: list[str], steps: GitSteps) -> tuple[str, str]:
    """What to bundle of one ref: with a HEAD at it, so that a clone of the bundle checks it out."""
    if ref.startswith("refs/heads/"):
        steps.git(_MIRROR, "symbolic-ref", "HEAD", ref)
    else:
        steps.git(_MIRROR, "update-ref", "--no-deref", "HEAD", *head)
    return "HEAD", ref


def _full_ref(name: str, steps: GitSteps) -> str:
    """The branch of that name, else the tag."""
    wanted = (f"refs/heads/{name}", f"refs/tags/{name}")
    found = steps.lines(_MIRROR, "for-each-ref", "--format=%(refname)", *wanted)
    for ref in wanted:
        if ref in found:
            return ref
    raise steps.failure(Code.HANDLER_ERROR, f"The repository has no branch or tag {name!r}: name one of its own.")
