"""Whether the estimates hold: what runs were told when they were queued, against how long they waited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from headgate.core.run import Run

SHORTEST = 0.25
"""Seconds: a p90 below is taken for this one, or a wait of next to nothing would count as a miss without bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Of `runs` that waited: the shares (0-1) that started within p50 and within p90, and the median of waited minus
    p50, in seconds. None when there are no runs."""

    runs: int
    within_p50: float | None
    within_p90: float | None
    median_error: float | None


def waited(run: Run) -> float | None:
    """Seconds from the moment a run was told its wait to its start; None if it was told none, or has not started."""
    if run.forecast is None:
        return None
    admitted = (int(str(r["at"])) for r in run.receipts if r.get("outcome") == "admit")
    start = min((at for at in admitted if at >= run.forecast.at), default=None)
    return None if start is None else (start - run.forecast.at) / 1000


def miss(run: Run) -> float | None:
    """How long a run waited over the p90 that it would have been told without any stretch; None if it did not wait."""
    seconds = waited(run)
    if run.forecast is None or seconds is None:
        return None
    return seconds / max(SHORTEST, run.forecast.p90 / run.forecast.stretch)


def calibration(runs: Iterable[Run]) -> Calibration:
    """How well the estimates of these runs held; those that were never told one, or never started, do not count."""
    told = [(run.forecast, seconds) for run in runs if run.forecast and (seconds := waited(run)) is not None]
    return Calibration(
        runs=len(told),
        within_p50=_share([seconds <= said.p50 for said, seconds in told]),
        within_p90=_share([seconds <= said.p90 for said, seconds in told]),
        median_error=round(median(seconds - said.p50 for said, seconds in told), 3) if told else None,
    )


def _share(held: Sequence[bool]) -> float | None:
    return round(sum(held) / len(held), 4) if held else None
