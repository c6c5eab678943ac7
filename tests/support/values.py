"""Values for tests of the rules: each maker fills what a test does not care about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from headgate.core.admission import LineView, Request, View, WideView
from headgate.core.lane import Lane, lane_id
from headgate.core.policy import OnLimit
from headgate.core.run import Run, RunState
from headgate.core.scopes import Affiliation, local_scopes
from headgate.core.tenant import Gate, Holder, Tenant

NOW = 1_800_000_000_000
"""A moment in 2027, ms."""

DEFAULTS = {"user": 3, "repo": 2, "org": None}


def a_run(id: str = "run_1", state: RunState = RunState.QUEUED, **fields: Any) -> Run:
    """A run of `acme`; its organisation is its repository's owner and its lane follows from where it belongs."""
    repo = fields.get("repo")
    fields.setdefault("org", repo.partition("/")[0] if repo else None)
    plain = Run(id=id, tenant="acme", kind="command", input="{}", created_at=NOW, queued_at=NOW, state=state)
    run = replace(plain, **fields)
    return run if run.lane else replace(run, lane=lane_id(run.tenant, run.affiliation, run.kind))


def a_holder(*scopes: str, since: int = NOW, expected: float = 10.0, kind: str = "command") -> Holder:
    """A run in flight."""
    return Holder(since=since, expected=expected, kind=kind, scopes=scopes)


def holders(count: int, *scopes: str) -> dict[str, Holder]:
    """So many runs in flight, all in these scopes."""
    return {f"run_h{i}": a_holder(*scopes) for i in range(count)}


def a_tenant(id: str = "acme", **fields: Any) -> Tenant:
    """A tenant on the pro plan with the policy's default caps."""
    return replace(Tenant(id=id, plan="pro", cap=5, defaults=DEFAULTS), **fields)


def a_gate(mode: str = "reject", **fields: Any) -> Gate:
    """A pause that stands."""
    return replace(Gate(id="aud_1", state="paused", mode=mode), **fields)


def a_lane(
    id: str = "lane_1",
    user: str | None = None,
    org: str | None = None,
    repo: str | None = None,
    **fields: Any,
) -> Lane:
    """An idle lane of `acme`."""
    scopes = local_scopes(Affiliation(user, org, repo))
    return replace(Lane(id=id, tenant="acme", kind="command", scopes=scopes), **fields)


def asking(on_limit: OnLimit | None = None, delayed: bool = False, **run: Any) -> Request:
    """A submission, by what its run is."""
    return Request(run=a_run(**run), on_limit=on_limit, delayed=delayed)


def seeing(tenant: Tenant | None = None, line: LineView | None = None, **wide: Any) -> View:
    """The facts of a moment: an idle tenant in an idle system unless said otherwise."""
    return View(tenant=tenant or a_tenant(), wide=WideView(**wide), line=line)


def names(runs: Iterable[Run]) -> list[str]:
    """Their ids."""
    return [run.id for run in runs]
