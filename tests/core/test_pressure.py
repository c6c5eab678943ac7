"""Back-pressure rules: thresholds, hysteresis, dry-run, silence; and the pace of starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.core import pace
from headgate.core.policy import PressurePolicy
from headgate.core.pressure import STALE_MS, Readings, judge
from headgate.core.signals import Pressure

NOW = 1_800_000_000_000
POLICY = PressurePolicy()


def after(*readings: Readings, policy: PressurePolicy = POLICY, step: int = 5_000) -> Pressure:
    pressure = Pressure()
    for number, one in enumerate(readings):
        pressure = judge(pressure, one, policy, NOW + number * step)
    return pressure


@pytest.mark.parametrize(
    ("readings", "state"),
    [
        (Readings(queue_depth=100, fleet_percent=80, error_rate=0.05), "ok"),
        (Readings(queue_depth=101), "slow"),
        (Readings(fleet_percent=80.1), "shed"),
        (Readings(error_rate=0.051), "slow"),
        (Readings(queue_depth=101, fleet_percent=81), "shed"),
        (Readings(github_throttled=True), "ok"),
        (Readings(), "ok"),
    ],
)
def test_a_rule_fires_above_its_threshold(readings: Readings, state: str) -> None:
    assert after(readings).state == state


def test_shed_does_not_hide_slow() -> None:
    both = after(Readings(queue_depth=101, fleet_percent=81))
    assert (both.state, both.slow, both.shedding) == ("shed", True, True)


def test_github_throttled_pauses_minting_and_nothing_else() -> None:
    throttled = after(Readings(github_throttled=True))
    assert (throttled.minting_paused, throttled.slow, throttled.shedding) == (True, False, False)
    assert not after(Readings(github_throttled=True), Readings(github_throttled=False)).minting_paused


def test_a_signal_that_hovers_does_not_switch_on_and_off() -> None:
    states = [101, 99, 81, 101, 80, 99, 101]
    seen = [after(*(Readings(queue_depth=depth) for depth in states[: n + 1])).state for n in range(len(states))]
    assert seen == ["slow", "slow", "slow", "slow", "ok", "ok", "slow"]


def test_it_says_since_when() -> None:
    pressure = after(Readings(queue_depth=1), Readings(queue_depth=200), Readings(queue_depth=300))
    assert (pressure.since, pressure.rules[0].since, pressure.rules[0].value) == (NOW + 5_000, NOW + 5_000, 300)


def test_a_rule_in_dry_run_is_watched_and_does_nothing() -> None:
    watched = after(Readings(queue_depth=500), policy=replace(POLICY, dry_run=frozenset({"queueDepth"})))
    assert (watched.state, watched.slow) == ("ok", False)
    assert watched.rules[0].since == NOW


def test_a_signal_that_cannot_be_read_keeps_its_last_word_for_a_while() -> None:
    firing = after(Readings(queue_depth=500))
    assert judge(firing, Readings(), POLICY, NOW + STALE_MS).state == "slow"
    assert judge(firing, Readings(), POLICY, NOW + STALE_MS + 1).state == "ok"


# --- pace


def starts(seconds: int, slow: bool, ramp_since: int | None) -> list[int]:
    """When runs start if some always wait, looked at every millisecond."""
    next_at, found = 0, []
    for now in range(NOW, NOW + seconds * 1000):
        per_second = pace.rate(slow, ramp_since, now, POLICY)
        if per_second is None or next_at <= now:
            found.append(now)
            next_at = 0 if per_second is None else pace.booked(next_at, now, per_second)
        if per_second is None:
            break
    return found


def test_slow_is_two_a_second_in_every_window() -> None:
    found = starts(20, True, None)
    assert len(found) == 40
    assert all(sum(at <= other < at + 1000 for other in found) <= 2 for at in found)


def test_a_ramp_doubles_every_ten_seconds_and_ends() -> None:
    found = starts(61, False, NOW)
    per_ten = [sum(NOW + k * 10_000 <= at < NOW + (k + 1) * 10_000 for at in found) for k in range(6)]
    assert per_ten == pytest.approx([20, 40, 80, 160, 320, 640], rel=0.05)
    assert found[-1] == NOW + 60_000  # from then on as many as there are slots
    assert pace.rate(False, NOW, NOW + 60_000, POLICY) is None


def test_slow_binds_a_ramp_and_no_ramp_binds_nothing() -> None:
    assert pace.rate(True, NOW, NOW + 30_000, POLICY) == 2.0
    assert pace.rate(False, None, NOW, POLICY) is None
    assert pace.rate(False, NOW, NOW, replace(POLICY, ramp_seconds=0)) is None


def test_who_comes_late_does_not_start_two_at_once() -> None:
    assert pace.booked(NOW - 5_000, NOW, 2.0) == NOW + 500
