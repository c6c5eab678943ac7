"""When to come back: never too soon, spread over the releases, the same for the same caller."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.core.admission import Refuse, View, WideView, decide
from headgate.core.errors import Code
from headgate.core.policy import OnLimit, Policy
from headgate.core.retry_after import place_of, retry_after
from tests.support.values import a_gate, a_tenant, asking, holders

PLACES = [place_of(f"run_{n}") for n in range(1_000)]


@pytest.mark.parametrize("least", [30, 60, 3600])
@pytest.mark.parametrize("releases", [(), (0.0,), (5.0, 12.0), (90.0,), (40.0, 400.0), (1e9,)])
def test_a_whole_number_never_below_the_least(releases: tuple[float, ...], least: int) -> None:
    for place in (0.0, 0.5, 0.999999, *PLACES[:50]):
        found = retry_after(releases, place, least)
        assert isinstance(found, int)
        assert least <= found <= max(least, 3600)


def test_with_nothing_known_it_is_the_least() -> None:
    assert retry_after((), 0.7, 30) == 30


def test_give_or_take_a_fifth() -> None:
    told = [retry_after((100.0,), place, 30) for place in PLACES]
    assert (min(told), max(told)) == (81, 120)
    assert abs(sum(told) / len(told) - 100) < 2


def test_callers_are_spread_over_the_releases() -> None:
    """Five releases, a thousand callers: every release has its part, and no moment gets a crowd."""
    releases = (60.0, 120.0, 180.0, 240.0, 300.0)
    told = [retry_after(releases, place, 30) for place in PLACES]
    for release in releases:
        assert sum(abs(seconds - release) <= 0.2 * release + 1 for seconds in told) >= 150
    assert max(told.count(second) for second in set(told)) < 40  # without a spread it would be 1,000


def test_places_are_even_and_a_callers_own() -> None:
    assert place_of("run_1") == place_of("run_1") != place_of("run_2")
    assert abs(sum(PLACES) / len(PLACES) - 0.5) < 0.03
    assert 0.0 <= min(PLACES) < 0.02 < 0.98 < max(PLACES) < 1.0


def refusal(view: View, **asked: object) -> Refuse:
    decision = decide(asking(on_limit=OnLimit.REJECT, **asked), view, Policy())  # type: ignore[arg-type]
    assert isinstance(decision, Refuse)
    return decision


@pytest.mark.parametrize(
    ("view", "asked", "name", "code", "least"),
    [
        (View(tenant=a_tenant(holders=holders(5)), wide=WideView()), {}, "tenant:acme", "PLAN_LIMIT_CONCURRENCY", 30),
        (
            View(tenant=a_tenant(holders=holders(2, "repo:o/n")), wide=WideView()),
            {"repo": "o/n"},
            "repo:acme/o/n",
            "SCOPE_LIMIT_CONCURRENCY",
            30,
        ),
        (View(tenant=a_tenant(), wide=WideView(system_free=False)), {}, "system", "SCOPE_LIMIT_CONCURRENCY", 30),
        (View(tenant=a_tenant(gates={"tenant": a_gate()}), wide=WideView()), {}, "tenant:acme", "TENANT_PAUSED", 60),
        (
            View(tenant=a_tenant(gates={"user:ada": a_gate()}), wide=WideView()),
            {"user": "ada"},
            "user:acme/ada",
            "SCOPE_PAUSED",
            60,
        ),
    ],
)
def test_the_decision_tells_it(view: View, asked: dict[str, object], name: str, code: Code, least: int) -> None:
    plain, later = refusal(view, **asked), refusal(replace(view, releases={name: (500.0,)}), **asked)
    elsewhere = refusal(replace(view, releases={"tenant:other": (500.0,)}), **asked)
    assert (plain.code, plain.retry_after, later.retry_after) == (code, least, 400)
    assert elsewhere == plain
    assert replace(later, retry_after=least) == plain
