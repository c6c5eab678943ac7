"""Whether estimates hold, counted anew from the runs themselves each time it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.calibration import Calibration, calibration, waited
from headgate.core.run import Run
from headgate.flow.deps import Deps
from headgate.store.documents import where

WINDOW = 1_000
"""The latest so many runs that waited."""
READ_AT_MOST = 5_000
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastReport:
    """How well the estimates held, over all and by kind; `read` = finished runs looked at; `as_of` in ms."""

    total: Calibration
    kinds: Mapping[str, Calibration]
    read: int
    as_of: int


def forecast_report(deps: Deps) -> ForecastReport:
    """The calibration of the last runs that were told a wait and have started and ended since."""
    told: list[Run] = []
    read, after = 0, None
    while len(told) < WINDOW and read < READ_AT_MOST:
        query = where(Run, ("finished_at", ">", 0), order=("-finished_at",), limit=PAGE, after=after)
        page = deps.store.query(Run, query)
        read += len(page)
        told += [run for run in page if waited(run) is not None]
        if len(page) < PAGE:
            break
        after = (page[-1].finished_at, page[-1].id)
    told = told[:WINDOW]
    kinds = {kind: calibration(run for run in told if run.kind == kind) for kind in sorted({run.kind for run in told})}
    return ForecastReport(total=calibration(told), kinds=kinds, read=read, as_of=deps.store.now())
