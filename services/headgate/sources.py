"""Where time, ids and chance come from: the only module that asks the operating system for them."""

from __future__ import annotations

import base64
import random
import secrets
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SystemTiming:
    """The machine's clocks and its random numbers, as the store and the flows want them."""

    _chance: random.Random = field(default_factory=random.SystemRandom)

    def monotonic(self) -> float:
        """Seconds, only ever forward."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC, of this machine. For logs; what is stored carries the store's time."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def random(self) -> float:
        """0 ≤ x < 1."""
        return self._chance.random()


@dataclass(frozen=True)
class RandomIds:
    """Ids that begin with a letter and are spread evenly: sequential ones make hot spots in Firestore."""

    def new(self, prefix: str) -> str:
        """`run` gives `run_` and 20 characters (100 bits)."""
        return f"{prefix}_{base64.b32encode(secrets.token_bytes(13))[:20].decode().lower()}"

    def commit(self) -> str:
        """A short id of one commit."""
        return secrets.token_urlsafe(9)

    def secret(self) -> str:
        """256 bits for a key's secret, in letters, digits, - and _."""
        return secrets.token_urlsafe(32)
