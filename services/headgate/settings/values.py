"""How one environment variable is read: what it takes in words, and the function that reads its text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reader:
    """`says` completes the sentence "give …"; `read` raises ValueError, with a reason where "give …" is not enough."""

    says: str
    read: Callable[[str], object]


def text(says: str, pattern: str = r"\S.*") -> Reader:
    """Text of a shape."""
    return Reader(says, lambda raw: _kept(raw, re.fullmatch(pattern, raw) is not None))


def choice(*words: str) -> Reader:
    """One of the words, however it is cased."""
    return Reader(f"one of {', '.join(words)}", lambda raw: _found(raw, {word.lower(): word for word in words}))


def whole(least: int, most: int) -> Reader:
    """A whole number from `least` to `most`."""

    def read(raw: str) -> int:
        return int(_kept(raw, re.fullmatch(r"\d{1,9}", raw) is not None and least <= int(raw) <= most))

    return Reader(f"a whole number from {least} to {most}", read)


def file(says: str) -> Reader:
    """A file that is there."""

    def read(raw: str) -> Path:
        return Path(_kept(raw, Path(raw).is_file(), "there is no such file"))

    return Reader(says, read)


def _kept(raw: str, good: bool, reason: str = "") -> str:
    if not good:
        raise ValueError(reason)
    return raw


def _found(raw: str, words: dict[str, str]) -> str:
    return _kept(words.get(raw.lower(), ""), raw.lower() in words)


def _seconds(raw: str) -> float:
    try:
        number = float(raw)
    except ValueError:
        number = math.nan
    _kept(raw, 0 < number <= 86_400)
    return number


def _url(raw: str) -> str:
    try:
        parts = urlsplit(raw)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return _kept(raw.rstrip("/"), good and " " not in raw)


def _folder(raw: str) -> Path:
    path = Path(raw)
    _kept(raw, path.is_dir() or not path.exists(), "it is not a folder")
    return path


def _folders(raw: str) -> tuple[Path, ...]:
    paths = tuple(Path(part) for part in raw.split(":") if part)
    missing = [str(path) for path in paths if not path.is_dir()]
    _kept(raw, bool(paths) and not missing, f"there is no folder {', '.join(missing)}".rstrip())
    return tuple(path.resolve() for path in paths)


SECONDS = Reader("seconds above 0, up to 86400", _seconds)
URL = Reader("a URL as http://host:port or https://host", _url)
FOLDER = Reader("a folder; it is made when it is not there", _folder)
FOLDERS = Reader("DIR or DIR:DIR of existing folders", _folders)
