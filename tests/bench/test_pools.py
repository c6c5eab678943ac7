"""Fair shares with several kinds: who is kept waiting by a full or paused kind neither starves newcomers nor hoards."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from headgate.bench.fair import BOUNDLESS
from headgate.bench.fleet import Fleet
from headgate.core.policy import OnLimit, Policy, PressurePolicy
from headgate.core.submission import Submission
from headgate.flow import fleet as switches
from headgate.flow.audit import Reason
from headgate.flow.ledger import Ledger

NO_SHEDDING = PressurePolicy(fleet_percent=100, ramp_seconds=0)


def a_fleet(git: int | None) -> Fleet:
    policy = replace(Policy(), system=8, kinds={"git": git}, line=BOUNDLESS, pressure=NO_SHEDDING)
    return Fleet(policy, dict.fromkeys(("flooder", "first", "newcomer"), "enterprise"))


def submit(fleet: Fleet, at: float, tenant: str, kind: str, count: int, seconds: float = 1.0) -> None:
    asked = Submission(kind=kind, on_limit=OnLimit.QUEUE)
    for _ in range(count):
        fleet.at(at, lambda: fleet.submit(tenant, seconds, asked))


def newcomers_wait(busy: int) -> float:
    """One has long waited for git (2 at once), one floods the rest; a newcomer asks for four git runs."""
    fleet = a_fleet(git=2)
    submit(fleet, 0, "flooder", "command", 8 * busy)
    submit(fleet, 0, "first", "git", 4 * busy)
    submit(fleet, busy, "newcomer", "git", 4)
    fleet.run(until=3 * busy)
    waits = [life.started - life.submitted for life in fleet.lives if life.tenant == "newcomer"]
    return max(waits) if len(waits) == 4 else float("inf")


@pytest.mark.parametrize("busy", [20, 60])
def test_a_newcomer_to_a_full_kind_does_not_starve(busy: int) -> None:
    assert newcomers_wait(busy) <= 6


def test_without_forgiving_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: it waits longer, the longer the others were busy."""
    monkeypatch.setattr(Ledger, "forgive", lambda self: None)
    assert newcomers_wait(40) > 25


def shares_after(wait: int, closed: bool) -> Counter[str]:
    """One run kept waiting behind a full or paused kind for so long; then everybody floods. Slot-seconds from then on."""
    fleet = a_fleet(git=None if closed else 1)
    why = iter(range(1_000))

    def reason() -> Reason:
        return Reason(id=f"aud_x{next(why)}", actor="test")

    submit(fleet, 0, "flooder", "command", 8 * wait + 600)
    if closed:
        fleet.at(0, lambda: switches.close_kind(fleet.deps, fleet.dispatcher, "git", "hold", reason()))
    else:
        submit(fleet, 0, "newcomer", "git", 1, seconds=2 * wait)
    submit(fleet, 1, "first", "git", 1 if not closed else 600)
    if closed:
        fleet.at(wait, lambda: switches.open_kind(fleet.deps, fleet.dispatcher, "git", reason()))
        fleet.at(wait, fleet._deliver)
    else:
        submit(fleet, wait, "first", "command", 600)
    fleet.run(until=wait + 60)
    return Counter(life.tenant for life in fleet.lives if wait < life.started <= wait + 50)


@pytest.mark.parametrize("closed", [False, True])
def test_waiting_for_a_kind_saves_up_no_credit(closed: bool) -> None:
    got = shares_after(80, closed)
    assert got["flooder"] == pytest.approx(got["first"], rel=0.2)
