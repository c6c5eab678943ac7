"""The worked example of ARCHITECTURE.md, "Who is next", comes out as it is told there."""

from __future__ import annotations

from dataclasses import replace

from headgate.bench.fleet import Fleet
from headgate.core.policy import OnLimit, Policy, PressurePolicy
from headgate.core.submission import Submission

ASKED = Submission(kind="command", on_limit=OnLimit.QUEUE)


def starts(weights: dict[str, float]) -> list[tuple[float, str]]:
    policy = replace(Policy(), system=3, kinds={}, pressure=PressurePolicy(fleet_percent=100))
    policy = replace(
        policy, plans={name: replace(policy.plans["enterprise"], name=name, weight=w) for name, w in weights.items()}
    )
    fleet = Fleet(policy, {name: name for name in weights})
    for at, tenant, count, seconds in ((0, "acme", 7, 10), (0, "bolt", 3, 5), (12, "cato", 3, 10)):
        for _ in range(count):
            fleet.at(at, lambda tenant=tenant, seconds=seconds: fleet.submit(tenant, seconds, ASKED))  # type: ignore[misc]
    fleet.run()
    return sorted((life.started, life.tenant) for life in fleet.lives)


def test_the_example() -> None:
    expected = [(0, "acme")] * 3 + [(10, "bolt")] * 3 + [(15, "cato")] * 3 + [(25, "acme")] * 3 + [(35, "acme")]
    assert starts({"acme": 1, "bolt": 1, "cato": 1}) == expected


def test_with_weight_two_it_is_back_earlier() -> None:
    weighted = starts({"acme": 2, "bolt": 1, "cato": 1})
    assert [tenant for at, tenant in weighted if at == 10] == ["acme", "bolt", "bolt"]
