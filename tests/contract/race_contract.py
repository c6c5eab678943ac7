"""Real threads in real processes: no cap is ever passed, and every one is reached; a part of StoreContract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headgate.core.policy import LineBounds, OnLimit, Policy
from headgate.core.scopes import TENANT
from headgate.core.tenant import full
from tests.contract.races import Crowd, Outcome, admit_exactly_the_cap, headgate_door, race, words
from tests.support.crew import Crew
from tests.support.live import Live
from tests.support.places import Place, store_over

ACME = {"tenant": "acme", "repo": "org/repo", "user": "ada", "kind": "git", "on_limit": OnLimit.REJECT}


def open_live(place: Place, crowd: Crowd, **tenants: str) -> Live:
    live = Live(store_over(place.open()), Policy(**crowd.policy))
    live.prepare(**tenants)
    return live


class RaceContract:
    """Subclass it and define the fixtures `place` and `crowd`."""

    @pytest.fixture
    def crowd(self) -> Crowd:
        raise NotImplementedError

    @pytest.mark.parametrize(("plan", "cap"), [("free", 1), ("pro", 5), ("enterprise", 20)])
    def test_two_hundred_submitters_admit_exactly_the_cap(
        self, place: Place, crew: Crew, crowd: Crowd, plan: str, cap: int
    ):
        live = open_live(place, crowd, acme=plan)
        assert crowd.size == 200
        admit_exactly_the_cap(crew, place, headgate_door, crowd, cap)
        live.close()

    @pytest.mark.parametrize("tightest", ["user", "org", "repo", "kind", "system"])
    def test_the_tightest_of_six_scopes_is_reached(self, place: Place, crew: Crew, crowd: Crowd, tightest: str):
        caps = {"user": 9, "org": 10, "repo": 11, "system": 12, "kinds": {"git": 13}}
        caps[{"kind": "kinds"}.get(tightest, tightest)] = {"git": 4} if tightest == "kind" else 4
        crowd = Crowd(2, 30, caps)
        live = open_live(place, crowd, acme="enterprise")
        outcomes = race(crew, place, headgate_door, crowd, [ACME])
        assert words(outcomes) == {"admitted": 4, "SCOPE_LIMIT_CONCURRENCY": 56}
        live.assert_books_balance()
        assert {outcome.scope and outcome.scope.partition(":")[0] for outcome in outcomes} == {None, tightest}
        live.close()

    def test_mixed_tenants_fill_every_scope_that_refused_somebody(self, place: Place, crew: Crew, crowd: Crowd):
        crowd = Crowd(
            crowd.processes, crowd.threads, {"system": 19, "user": 3, "repo": 3, "org": 7, "kinds": {"git": 6}}
        )
        live = open_live(place, crowd, acme="enterprise", globex="pro", initech="free")
        asked = [
            {
                "tenant": ("acme", "acme", "globex", "initech")[i % 4],
                "kind": ("git", "command", "command")[i % 3],
                "user": (None, f"u{i % 7}")[i % 2],
                "repo": (None, f"o{i % 2}/n{i % 5}")[i % 3 > 0],
                "on_limit": OnLimit.REJECT,
            }
            for i in range(crowd.size)
        ]
        outcomes = race(crew, place, headgate_door, crowd, asked)
        assert set(words(outcomes)) == {"admitted", "PLAN_LIMIT_CONCURRENCY", "SCOPE_LIMIT_CONCURRENCY"}
        live.assert_books_balance()
        assert list(not_full(live, outcomes)) == []
        live.close()

    @pytest.mark.parametrize(
        ("tenants", "users", "line", "code"),
        [(1, 0, 20, "QUEUE_FULL"), (1, 1, 5, "USER_LIMIT_QUEUED"), (3, 0, 30, "QUEUE_FULL")],
        ids=["tenant", "user", "total"],
    )
    def test_the_line_is_filled_to_its_bound_and_not_beyond(
        self, place: Place, crew: Crew, crowd: Crowd, tenants: int, users: int, line: int, code: str
    ):
        crowd = Crowd(2, 50, {"line": LineBounds(total=30, per_tenant=20, per_user=5)})
        live = open_live(place, crowd, t0="free", t1="free", t2="free")
        for i in range(tenants):
            live.submit(f"t{i}")
        user = "ada" if users else None
        asked = [{"tenant": f"t{i}", "user": user, "on_limit": OnLimit.QUEUE} for i in range(tenants)]
        outcomes = race(crew, place, headgate_door, crowd, asked)
        assert words(outcomes) == {"queued": line, code: crowd.size - line}
        live.assert_books_balance()
        waiting = [live.tenant(f"t{i}").waiting for i in range(tenants)]
        assert sum(waiting) == line
        assert max(waiting) <= 20
        live.close()

    def test_one_key_is_one_run_however_many_callers(self, place: Place, crew: Crew, crowd: Crowd):
        crowd = Crowd(2, 25)
        live = open_live(place, crowd, acme="pro")
        outcomes = race(crew, place, headgate_door, crowd, [{"tenant": "acme", "key": "once"}])
        assert words(outcomes) == {"admitted": 50}
        assert len({outcome.run_id for outcome in outcomes}) == 1
        assert sum(outcome.replayed for outcome in outcomes) == 49
        live.assert_books_balance()
        assert len(live.tenant("acme").holders) == live.tenant("acme").month_runs == 1
        live.close()


def not_full(live: Live, outcomes: list[Outcome]) -> Iterator[str]:
    """Refusals by a scope that has room: nothing was given back, so what was full then must be full now."""
    picture = live.picture()
    for scope, tenant in {(one.scope, one.asked["tenant"]) for one in outcomes if one.word != "admitted"}:
        kind, _, name = (scope or TENANT).partition(":")
        if kind in ("system", "kind"):
            room = scope is not None and picture.has_room(scope)
        else:
            local = TENANT if scope is None else f"{kind}:{name.partition('/')[2]}"
            room = not full(picture.tenants[tenant], local)
        if room:
            yield f"{tenant}: refused by {scope}"
