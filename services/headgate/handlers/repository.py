"""Which repositories and refs a `git` run may name: an allow-list by shape, decided before any process is started."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from headgate.handlers.interface import InvalidInput

_LABEL = r"(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_FLAGS = re.ASCII | re.IGNORECASE
_URL = re.compile(rf"https://(?P<host>(?:{_LABEL}\.)+[a-z]{{2,63}})(?:/(?!\.\.?(?:/|$))[\w.~+-]+)+/?", _FLAGS)
"""No user, port, query, escape or dot segment; the last label is letters, so no form of an IP address fits."""
_REF = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_PRIVATE = ("internal", "local", "localhost", "localdomain", "lan", "home", "corp", "intranet", "private", "arpa")
_MAX_URL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to mirror: an https URL with its host, or the git directory of a local repository."""

    url: str
    ref: str | None
    host: str = ""
    git_dir: Path | None = None


def parse(input: Mapping[str, object], roots: Iterable[Path]) -> Source:
    """The source that the input names. Raises InvalidInput; nothing is contacted."""
    for unknown in sorted(input.keys() - {"url", "ref"}):
        raise InvalidInput(unknown, "is unknown: a git run takes `url` and `ref`")
    url, ref = input.get("url"), input.get("ref")
    if ref is not None and (not isinstance(ref, str) or not _REF.fullmatch(ref) or ".." in ref):
        raise InvalidInput("ref", "must be the name of a branch or tag, such as main, or null for all of them")
    if not isinstance(url, str) or len(url) > _MAX_URL:
        raise InvalidInput("url", f"must be an https URL of at most {_MAX_URL} characters")
    if url.startswith("/"):
        return Source(url=url, ref=ref, git_dir=_local(url, tuple(root.resolve() for root in roots)))
    match = _URL.fullmatch(url)
    host = match["host"].lower() if match else ""
    if not match or host.endswith(tuple(f".{name}" for name in _PRIVATE)):
        raise InvalidInput("url", "must look like https://github.com/owner/name: a public host, no user, port or query")
    return Source(url=url, ref=ref, host=host)


def _local(url: str, roots: tuple[Path, ...]) -> Path:
    """The git directory at a path below an allowed root. A path elsewhere gets one answer, whether it exists or not."""
    path = Path(url).resolve() if "\0" not in url else Path("/")
    if not _below(path, roots):
        raise InvalidInput("url", "is a local path outside the allowed folders: give an https URL or one of theirs")
    git_dir = path / ".git" if (path / ".git").exists() else path
    if not (git_dir / "HEAD").is_file() or not (git_dir / "objects").is_dir():
        raise InvalidInput("url", "is no git repository: give the folder that holds .git, or a bare repository")
    if not all(_below(part.resolve(), roots) for part in _parts(git_dir)):
        raise InvalidInput("url", "is a repository whose parts lie outside the allowed folders: give a full clone")
    return git_dir


def _below(path: Path, roots: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _parts(git_dir: Path) -> Iterable[Path]:
    """Where git would read: links, a linked worktree and borrowed objects can point anywhere on the host."""
    yield from (git_dir / name for name in ("", "HEAD", "objects", "refs", "packed-refs"))
    if (common := git_dir / "commondir").is_file():
        yield git_dir / common.read_text("utf-8", errors="replace").strip()
    if (borrowed := git_dir / "objects/info/alternates").is_file():
        lines = borrowed.read_text("utf-8", errors="replace").splitlines()
        yield from (git_dir / "objects" / line for line in lines if line)


def public_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """A host's addresses if all of them are public, else none: a public name may point into our own network."""
    found = [ipaddress.ip_address(address) for address in addresses]
    return tuple(map(str, found)) if all(map(_is_public, found)) else ()


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Global unicast, also after looking into the IPv4 address that a transition IPv6 address wraps."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return _is_public(address.ipv4_mapped)
        if address.sixtofour or address.teredo or address in ipaddress.ip_network("64:ff9b::/96"):
            return False
    return address.is_global and not address.is_multicast
