"""What the API says of back-pressure."""

from __future__ import annotations

from typing import Literal

from headgate.api import models
from headgate.api.models import Answered
from headgate.api.operation import Operation, gives


class PressureRule(Answered):
    """One rule: its signal's last value, its threshold, what it does while it fires, and since when it does."""

    signal: str
    value: float | None
    threshold: float
    action: Literal["slow", "shed", "pause_minting"]
    since: models.Moment | None
    dry_run: bool


class PressureAnswer(Answered):
    """What the rules come to. `ramps`: wide scopes that take up again, since when."""

    state: Literal["ok", "slow", "shed"]
    since: models.Moment | None
    rules: list[PressureRule]
    ramps: dict[str, models.Moment]


PRESSURE = (
    Operation(
        method="GET",
        path="/admin/pressure",
        name="getPressure",
        summary="Back-pressure: signals, thresholds, and what is done about them (operators)",
        answers={200: gives(PressureAnswer, "the state, as of the last sweep")},
    ),
)
