"""The git commands of one attempt: each a tamed child with nothing but our configuration, all within the run's limits.

Git gets no environment and no configuration of the host, follows no redirect, runs no hook, asks nobody, takes no
submodule and no LFS object, and speaks only the protocols that a step names.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from headgate.core.errors import Code
from headgate.core.policy import RunLimits
from headgate.core.run import Usage
from headgate.handlers.command import COMMAND_PATH
from headgate.handlers.desk import Desk
from headgate.handlers.interface import Failed, Job
from headgate.handlers.process import ChildEnd, run_child, stopped
from headgate.handlers.repository import public_addresses

ENVIRONMENT: Mapping[str, str] = {
    "PATH": COMMAND_PATH,
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=false",
    "http.followRedirects=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
)
_RESOLVE = """
import socket, sys
try:
    print(*sorted({found[4][0] for found in socket.getaddrinfo(sys.argv[1], 443, type=socket.SOCK_STREAM)}))
except OSError as error:
    sys.exit(f"Could not resolve {sys.argv[1]}: {error.strerror}")
"""
"""A child too: a name server that does not answer must not hold a run beyond its limit."""
_NETWORK = re.compile(
    r"could not resolve|failed to connect|couldn't connect|connection (?:timed out|refused|reset)|operation timed out"
    r"|network is unreachable|early eof|unexpected disconnect|rpc failed|returned error: (?:429|5\d\d)"
    r"|(?:gnutls|ssl|tls)[^\n]*(?:recv|read|handshake)|empty reply from server|transfer closed",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"could not read username|authentication failed|not found|returned error: 40[134]", re.IGNORECASE)
_MOVED = re.compile(r"returned error: 30\d", re.IGNORECASE)
_LISTING_BYTES = 8 * 1024 * 1024


class StepFailed(Exception):
    """A step failed, and so the attempt has: `failed` is its end."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


class GitSteps:
    """Runs the steps in one folder and adds up what they use: each may use what those before it have left."""

    def __init__(self, job: Job, place: Desk, hidden: Sequence[Path] = ()) -> None:
        self.workdir, self.usage = place.folder, Usage()
        self.sandbox: tuple[str, ...] = ()
        self._job, self._user, self._hidden = job, place.user, hidden
        self._git = shutil.which("git", path=COMMAND_PATH) or "/usr/bin/git"

    def read_local(self, git_dir: Path, bundle: str) -> None:
        """Write everything of a local repository into a bundle, as the worker's user and without any transport.

        Its configuration is somebody else's: what there could start a program is overruled or needs a transport.
        """
        target = self.workdir / bundle
        trust = (f"safe.directory={git_dir}", f"safe.directory={git_dir.parent}")
        args = (f"--git-dir={git_dir}", "bundle", "create", "--quiet", str(target), "--all")
        end = self._run(*args, settings=trust, protocols="none", as_worker=True)
        if b"empty bundle" in end.tail:
            raise self.failure(Code.HANDLER_ERROR, "The repository is empty: push a commit, then run it again.")
        self._demand_success(end)
        target.chmod(0o644)  # the folder is closed to others, but the child is another user than we

    def address_of(self, host: str) -> str:
        """The setting that binds git to the host's addresses as they are now, all public: none can be swapped in."""
        argv = [sys.executable, "-I", "-S", "-c", _RESOLVE, host]
        end = self._child(argv, {}, as_worker=True)
        self._demand_success(end)
        addresses = public_addresses(end.tail.decode("ascii").split())
        if not addresses:
            raise self.failure(Code.HANDLER_ERROR, f"{host} is no public host: it has an address in a closed network.")
        quoted = (f"[{address}]" if ":" in address else address for address in addresses)
        return f"http.curloptResolve={host}:443:{','.join(quoted)}"

    def git(self, *args: str, settings: Sequence[str] = (), protocols: str = "none") -> None:
        """Run one git command; what it says goes to the run's log."""
        self._demand_success(self._run(*args, settings=settings, protocols=protocols, on_output=self._job.log))

    def lines(self, *args: str) -> list[str]:
        """What a git command prints, by lines; none when it exits with 1, as git does for "there is no such thing"."""
        end = self._run(*args, tail_bytes=_LISTING_BYTES)
        if end.exit_code == 1:
            return []
        self._demand_success(end)
        if end.truncated:
            raise self.failure(Code.HANDLER_ERROR, "The repository has more refs than can be listed; name one `ref`.")
        return end.tail.decode("utf-8", errors="replace").splitlines()

    def failure(self, code: Code, message: str, *, retryable: bool = False) -> StepFailed:
        """The end of the attempt, to be raised, with what it has used so far."""
        failed = Failed(code=code, message=message, retryable=retryable, usage=self.usage, sandbox=self.sandbox)
        return StepFailed(failed)

    def _run(
        self,
        *args: str,
        settings: Sequence[str] = (),
        protocols: str = "none",
        as_worker: bool = False,
        tail_bytes: int = 16 * 1024,
        on_output: Callable[[bytes], None] = lambda _: None,
    ) -> ChildEnd:
        options = [part for setting in (*_SETTINGS, *settings) for part in ("-c", setting)]
        allowed = {"GIT_ALLOW_PROTOCOL": protocols}
        argv = [self._git, *options, *args]
        return self._child(
            argv,
            allowed,
            as_worker=as_worker,
            network=protocols == "https",
            tail_bytes=tail_bytes,
            on_output=on_output,
        )

    def _child(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        as_worker: bool,
        network: bool = False,
        tail_bytes: int = 16 * 1024,
        on_output: Callable[[bytes], None] = lambda _: None,
    ) -> ChildEnd:
        end = run_child(
            argv,
            workdir=self.workdir,
            environment={**self._job.environment, "HOME": str(self.workdir), **ENVIRONMENT, **environment},
            limits=self._left(),
            cancelled=self._job.cancelled,
            on_output=on_output,
            tail_bytes=tail_bytes,
            as_worker=as_worker,
            network=network,
            user=self._user,
            hidden=self._hidden,
        )
        self.usage = _sum(self.usage, end.usage)
        if not as_worker:  # what held for all the steps that ran what comes from outside
            self.sandbox = tuple(layer for layer in self.sandbox or end.layers if layer in end.layers)
        if failed := stopped(end, self._job.limits):
            raise StepFailed(replace(failed, usage=self.usage))
        return end

    def _left(self) -> RunLimits:
        limits, used = self._job.limits, self.usage
        seconds = max(limits.duration_seconds - used.duration_seconds, 0.001)
        cpu_seconds = limits.cpu_cores * limits.duration_seconds - used.cpu_seconds
        return replace(limits, duration_seconds=seconds, cpu_cores=max(cpu_seconds, 0.001) / seconds)

    def _demand_success(self, end: ChildEnd) -> None:
        """Raise StepFailed unless it exited with 0; the message is git's own, without the paths of this host."""
        if end.exit_code == 0:
            return
        text = end.tail.decode("utf-8", errors="replace").replace(f"{self.workdir}/", "").strip()
        said = " ".join(text.splitlines()[-3:])[-500:] or f"it was ended by signal {end.signal}"
        if end.exit_code in (126, 127):
            raise self.failure(Code.HANDLER_ERROR, f"git cannot be started on this worker: {said}")
        if _NETWORK.search(text):
            raise self.failure(Code.HANDLER_ERROR, f"The repository could not be reached: {said}", retryable=True)
        if _MOVED.search(text):
            raise self.failure(Code.HANDLER_ERROR, f"The host redirects elsewhere: give the final URL ({said})")
        if _HIDDEN.search(text):
            raise self.failure(Code.HANDLER_ERROR, f"The repository does not exist or is not public: {said}")
        raise self.failure(Code.EXIT_NONZERO, f"git failed: {said}")


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        peak_memory_bytes=max(one.peak_memory_bytes, other.peak_memory_bytes),
        cpu_seconds=round(one.cpu_seconds + other.cpu_seconds, 3),
        duration_seconds=round(one.duration_seconds + other.duration_seconds, 3),
    )
