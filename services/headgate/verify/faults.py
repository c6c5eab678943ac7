"""Which faults a history has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random

MOST = {
    "conflict": 0.2,
    "lost_reply": 0.1,
    "outage": 0.02,
    "crash": 0.01,
    "drop": 0.2,
    "duplicate": 0.3,
    "late": 0.3,
    "stall": 0.3,
    "freeze": 0.01,
    "give_up": 0.1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How likely each fault is, at each point where it could happen. All 0 = a calm sea."""

    conflict: float = 0.0
    lost_reply: float = 0.0
    outage: float = 0.0
    crash: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    stall: float = 0.0
    freeze: float = 0.0
    give_up: float = 0.0

    @classmethod
    def drawn(cls, rng: Random) -> Faults:
        """Some kinds of fault on, some wholly off, as the seed has it: rare combinations come up more often so.

        One history in four has none at all: there nothing may need a sweep.
        """
        drawn = cls(**{f.name: MOST[f.name] * rng.random() * (rng.random() < 0.5) for f in fields(cls)})
        return cls() if rng.random() < 0.25 else drawn

    def chance(self, fault: str) -> float:
        """How likely the fault of that name is."""
        return float(getattr(self, fault))
