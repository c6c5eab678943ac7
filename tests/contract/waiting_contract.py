"""What a store must give to whoever waits: places, why, and the reports, the same on both stores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.core.access import Caller, Role
from headgate.core.line import order
from headgate.core.policy import OnLimit
from headgate.core.run import Run
from headgate.flow import overview
from headgate.flow.calibrations import forecast_report
from headgate.flow.fairness_report import fairness_report
from headgate.flow.why import why
from headgate.store.documents import where
from headgate.store.reader import Store
from tests.support.live import Live


class WaitingContract:
    """Over the real flows."""

    @pytest.mark.parametrize("counted", [None, 3])
    def test_those_who_wait_are_told_where_why_and_how_long(self, store: Store, counted: int | None) -> None:
        live = Live(store)
        live.prepare(acme="free", bolt="pro")
        live.deps = replace(live.deps, counted_places=counted)
        for number in range(8):
            live.submit("acme", repo=f"o/r{number % 2}", priority=number % 3, on_limit=OnLimit.QUEUE)
        queued = where(Run, ("tenant", "==", "acme"), ("state", "==", "queued"))
        line = order(live.deps.store.query(Run, queued))
        assert len(line) == 7
        for number, run in enumerate(line):
            view = overview.line_of(live.deps, run)
            assert view is not None
            assert view.position is not None
            assert view.estimated_wait is not None
            assert view.position == number + 1 or (view.as_of is not None and counted is not None)
            assert view.waiting_for[0] == "SCOPE_FULL:tenant"
        told = why(live.deps, caller(), "acme", line[-1].id)
        assert (told.binding, len(told.holders), told.others) == ("tenant:acme", 1, 0)
        assert live.execute_all() == 8
        assert forecast_report(live.deps).total.runs == 7
        report = fairness_report(live.deps)
        assert [(one.tenant, one.queued) for one in report.tenants] == [("acme", 0)]
        live.assert_books_balance()


def caller() -> Caller:
    return Caller(credential="test", role=Role.OWNER, tenant="acme")
