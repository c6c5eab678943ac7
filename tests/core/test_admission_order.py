"""The checks of admission in their order: of several troubles at once the first that may speak is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headgate.core.admission import LineView, Refuse, Request, View, decide
from headgate.core.errors import Code
from headgate.core.policy import OnLimit, Policy, RunLimits
from tests.support.values import a_gate, asking, holders, seeing

REPO = "repo:acme/web"

Worse = Callable[[Request, View], tuple[Request, View]]


def _view(view: View, tenant: dict | None = None, **wide: Any) -> View:
    return replace(view, tenant=replace(view.tenant, **(tenant or {})), wide=replace(view.wide, **wide))


TROUBLES: list[tuple[Code, Worse]] = [
    (Code.PRIORITY_CEILING, lambda r, v: (replace(r, run=replace(r.run, priority=9)), v)),
    (Code.NEVER_FITS, lambda r, v: (replace(r, run=replace(r.run, limits=RunLimits(cpu_cores=99))), v)),
    (Code.SYSTEM_MAINTENANCE, lambda r, v: (r, _view(v, mode="maintenance"))),
    (Code.TENANT_SUSPENDED, lambda r, v: (r, _view(v, {"status": "suspended"}))),
    (Code.TENANT_PAUSED, lambda r, v: (r, _view(v, {"gates": {**v.tenant.gates, "tenant": a_gate()}}))),
    (Code.SCOPE_PAUSED, lambda r, v: (r, _view(v, {"gates": {**v.tenant.gates, REPO: a_gate()}}))),
    (Code.MONTHLY_QUOTA, lambda r, v: (r, _view(v, {"month_runs": 10_000}))),
    (Code.OVERLOADED, lambda r, v: (r, _view(v, pressure="shed"))),
    (Code.PLAN_LIMIT_CONCURRENCY, lambda r, v: (r, _view(v, {"holders": holders(5)}))),
    (Code.SCOPE_LIMIT_CONCURRENCY, lambda r, v: (replace(r, on_limit=OnLimit.REJECT), _view(v, system_free=False))),
    (Code.QUEUE_FULL, lambda r, v: (r, replace(_view(v, kind_free=False), line=LineView(free=False)))),
]
"""Everything that can be in the way, in the order in which it speaks."""


def told(request: Request, view: View) -> Code | None:
    decision = decide(request, view, Policy())
    return decision.code if isinstance(decision, Refuse) else None


@pytest.mark.parametrize("first", range(len(TROUBLES)))
def test_the_first_check_that_may_speaks(first: int) -> None:
    """All troubles from this one on are there at once; this one is told."""
    request, view = asking(repo="acme/web", priority=1), seeing()
    for _, worse in TROUBLES[first:]:
        request, view = worse(request, view)
    assert told(request, view) == TROUBLES[first][0]


@pytest.mark.parametrize("only", range(len(TROUBLES)))
def test_each_check_speaks_alone(only: int) -> None:
    code, worse = TROUBLES[only]
    assert told(*worse(asking(repo="acme/web", priority=1), seeing())) == code
