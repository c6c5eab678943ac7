"""What both artifact stores do alike: safe names, one form of address, and opening files without being fooled."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import IO

from headgate.core.run import Artifact

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_SCHEME = "artifact://"
_PIECE = 1024 * 1024


def checked_name(name: str) -> str:
    """The name, if it can be part of a path in any store. Raises ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for an artifact: use letters, digits, '.', '_' and '-', at most 128")
    return name


def address(run_id: str, attempt: str, name: str) -> str:
    """Where an artifact is, the same in every store: it tells nothing of the host or the bucket."""
    return _SCHEME + "/".join(map(checked_name, (run_id, attempt, name)))


def key(artifact: Artifact) -> str:
    """`run/attempt/name` from the artifact's address, checked again: it comes back out of a database."""
    parts = artifact.uri.removeprefix(_SCHEME).split("/")
    if not artifact.uri.startswith(_SCHEME) or len(parts) != 3:
        raise ValueError(f"{artifact.uri!r} is no address of an artifact")
    return "/".join(map(checked_name, parts))


def open_regular(source: Path) -> IO[bytes]:
    """Open a file that a child made. A link, a device or a pipe is refused: the child may have aimed it elsewhere."""
    file = os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(f"{source.name} is not a regular file: save a copy of what it points to")


def described(file: IO[bytes], uri: str, name: str, media_type: str) -> Artifact:
    """The artifact that these bytes are; the file is read once, to its end."""
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return Artifact(name=name, uri=uri, bytes=file.tell(), sha256=digest.hexdigest(), media_type=media_type)
