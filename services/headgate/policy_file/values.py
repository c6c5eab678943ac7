"""What the values of a policy file may be: each a reader, and the words that say what it takes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)", re.IGNORECASE)
_BYTES = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_CORES = re.compile(r"(\d+(?:\.\d+)?)\s*cores?", re.IGNORECASE)

N = TypeVar("N", int, float)

MOST_BYTES = 1024**5
MOST_SECONDS = 3650 * 86_400
MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Value:
    """`says` completes the sentence "give …"; `read` takes what YAML made of the word and raises ValueError."""

    says: str
    read: Callable[[object], object]


def whole(least: int, most: int = MOST) -> Value:
    """A whole number from `least` to `most`."""
    return Value(f"a whole number from {least:,} to {most:,}", lambda word: _within(_int(word), least, most))


def share() -> Value:
    """A number from 0 to 1."""
    return Value("a number from 0 to 1", lambda word: _within(_float(word), 0.0, 1.0))


def above_zero(most: float = MOST) -> Value:
    """A number above 0."""
    return Value(f"a number above 0, up to {most:,.0f}", lambda word: _positive(_float(word), most))


def cores() -> Value:
    """CPU cores: `2`, `0.5` or `2 cores`."""
    return Value("cores above 0, up to 1,024, as 2, 0.5 or 2 cores", lambda word: _positive(_cores(word), 1024))


def size() -> Value:
    """Bytes, or a size as `512MB`; K, M, G, T count in 1024s, as the requirements do."""
    return Value("bytes above 0, or a size as 512MB (up to 1024TB)", lambda word: _within(_size(word), 1, MOST_BYTES))


def seconds() -> Value:
    """Seconds, or a duration as `300s`, `5m`, `24h`, `5 minutes`."""
    return Value(
        "seconds above 0, or a duration as 300s, 5m or 24h (up to 3650d)",
        lambda word: _positive(_duration(word), MOST_SECONDS),
    )


def choice(*words: str) -> Value:
    """One of the words."""
    return Value(f"one of {', '.join(words)}", lambda word: word if word in words else _no())


def flag() -> Value:
    """true or false."""
    return Value("true or false", lambda word: word if isinstance(word, bool) else _no())


def or_none(value: Value) -> Value:
    """Also null, which means no limit."""
    return Value(f"{value.says}, or null for no limit", lambda word: None if word is None else value.read(word))


def _no() -> object:
    raise ValueError


def _int(word: object) -> int:
    if isinstance(word, bool) or not isinstance(word, int):
        raise ValueError
    return word


def _float(word: object) -> float:
    if isinstance(word, bool) or not isinstance(word, int | float) or not math.isfinite(word):
        raise ValueError
    return float(word)


def _within(number: N, least: float, most: float) -> N:
    if not least <= number <= most:
        raise ValueError
    return number


def _positive(number: float, most: float) -> float:
    if not 0 < number <= most:
        raise ValueError
    return number


def _measured(word: object, pattern: re.Pattern[str], units: dict[str, int]) -> float:
    if not isinstance(word, str):
        return _float(word)
    found = pattern.fullmatch(word.strip())
    if found is None:
        raise ValueError
    return float(found[1]) * units[found[2][0].lower()]


def _size(word: object) -> int:
    return int(_measured(word, _SIZE, _BYTES)) if isinstance(word, str) else _int(word)


def _duration(word: object) -> float:
    return _measured(word, _DURATION, _SECONDS)


def _cores(word: object) -> float:
    found = _CORES.fullmatch(word.strip()) if isinstance(word, str) else None
    return float(found[1]) if found else _float(word)
