"""GET /admin/pressure: every rule with its threshold, before and after the sweep has judged."""

from __future__ import annotations

from dataclasses import replace

from headgate.core.policy import PressurePolicy
from headgate.flow import sweep
from headgate.wiring import System
from tests.services.served import Api


def test_before_the_first_sweep_all_rest(api: Api) -> None:
    found = api.get("/admin/pressure", key=api.operator).json()
    assert (found["state"], found["since"], found["ramps"]) == ("ok", None, {})
    thresholds = {rule["signal"]: (rule["threshold"], rule["action"]) for rule in found["rules"]}
    assert thresholds == {
        "queueDepth": (100, "slow"), "fleetPercent": (80, "shed"), "errorRate": (0.05, "slow"), "github": (0, "pause_minting")
    }  # fmt: skip


def test_a_rule_that_fires(api: Api, system: System) -> None:
    policy = replace(system.deps.policy, pressure=PressurePolicy(queue_depth=1, dry_run=frozenset({"fleetPercent"})))
    object.__setattr__(system.deps, "policy", policy)
    for _ in range(2):
        api.submit()
    sweep.sweep(system.deps, system.dispatcher)
    found = api.get("/admin/pressure", key=api.operator).json()
    depth = next(rule for rule in found["rules"] if rule["signal"] == "queueDepth")
    assert (found["state"], depth["value"]) == ("slow", 2)
    assert depth["since"] == found["since"]
    assert [rule["dryRun"] for rule in found["rules"]] == [False, True, False, False]


def test_it_is_for_operators(api: Api) -> None:
    assert api.get("/admin/pressure").status == 403
