"""The benchmarks' own claims that do not depend on the machine: fairness in virtual time, documents at any length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headgate.bench.fair import flood
from headgate.bench.gate import gaps, submits
from headgate.bench.line import measure
from headgate.core import tenant as tenants
from headgate.verify.ground import Ground


@pytest.mark.parametrize("users", [0, 50])
def test_a_flood_does_not_delay_the_others(users: int) -> None:
    found = flood(400, users)
    assert found.refused == 0
    assert found.ratio <= 1.15  # measured 1.03; promised 1.5


def test_without_turns_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: whoever comes first by name goes first."""
    fair = tenants.refreshed
    monkeypatch.setattr(tenants, "refreshed", lambda tenant: replace(fair(tenant), turn=0.0))
    assert flood(400).ratio > 1.5


def test_a_promotion_costs_the_same_at_any_length(tmp_path: Path) -> None:
    short, long = measure(Ground(folder=tmp_path), (60, 1_500), 20, lambda done, total: None)
    assert (short.writes, long.writes) == (12.0, 12.0)
    assert long.reads == pytest.approx(short.reads, abs=1.0)
    assert len(long.promotion) == len(long.position) == 20


def test_submits_and_gaps_are_timed(tmp_path: Path) -> None:
    ground = Ground(folder=tmp_path)
    assert len(submits(ground, 10).seconds) == 10
    assert len(gaps(ground, 10).seconds) == 10
    assert submits(ground, 10).as_json()["n"] == 10
