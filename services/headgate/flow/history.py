"""How long runs of a kind take: sketches of the latest finished ones, read again at most twice a minute per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from headgate.core.calibration import miss
from headgate.core.forecast import Sketch, sketch
from headgate.core.run import Run
from headgate.core.shares import spans
from headgate.flow.deps import Deps
from headgate.store.documents import where

LATEST = 100
"""Finished runs of a kind that its sketch is made of."""
FRESH_SECONDS = 30.0


class _Ended(NamedTuple):
    """When a run ended (ms), how long (s) it held its slots, if it ever did, and how its estimate held, if it had one."""

    at: int
    seconds: float | None
    miss: float | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The latest finished runs of a kind, by id."""

    runs: dict[str, _Ended]
    sketch: Sketch


def durations(deps: Deps, kind: str) -> Sketch:
    """How long runs of the kind hold their slots. Only what has ended since the last look is read."""
    now = deps.timing.monotonic()
    return deps.kept.of(("durations", kind), now, FRESH_SECONDS, lambda seen: _looked(deps, kind, seen)).sketch


def _looked(deps: Deps, kind: str, seen: _Seen | None) -> _Seen:
    known = dict(seen.runs) if seen else {}
    since = max((run.at for run in known.values()), default=1)
    conditions = (("kind", "==", kind), ("finished_at", ">=", since))
    for run in deps.store.query(Run, where(Run, *conditions, order=("-finished_at",), limit=LATEST)):
        known[run.id] = _Ended(run.finished_at or 0, _held_seconds(run), miss(run))
    latest = dict(sorted(known.items(), key=lambda entry: entry[1].at)[-LATEST:])
    lasted = [run.seconds for run in latest.values() if run.seconds is not None]
    misses = [run.miss for run in latest.values() if run.miss is not None]
    return _Seen(latest, sketch(lasted, deps.policy.execution.expected_seconds, misses))


def _held_seconds(run: Run) -> float | None:
    """How long its last attempt held its slots."""
    held, _ = spans(run, run.finished_at or 0)
    return (held[-1].end - held[-1].start) / 1000 if held else None
