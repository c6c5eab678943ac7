"""When to come back: refused callers are spread over the moments at which slots are expected, so that they do not all
meet at one of them. Pure; chance comes from who asks."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import ceil

JITTER = 0.2
LONGEST = 3600


def place_of(caller: str) -> float:
    """A caller's own place in [0, 1): the same each time it is asked, evenly spread over callers."""
    return int.from_bytes(sha256(caller.encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2**48


def retry_after(releases: Sequence[float], place: float, least: int) -> int:
    """Whole seconds until the caller at `place` (0-1) should ask again, never below `least` nor above an hour.

    `releases` are the seconds in which slots are expected, in order. The caller is given one of them, give or take a
    fifth. With nothing known it is `least`.
    """
    if not releases:
        return least
    spread = place * len(releases)
    chosen = releases[min(int(spread), len(releases) - 1)]
    jittered = chosen * (1 - JITTER + 2 * JITTER * (spread % 1.0))
    return max(least, min(LONGEST, ceil(jittered)))
