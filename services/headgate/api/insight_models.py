"""Why a run waits, whether estimates hold, how fair the shares are: as models. Times are ms inside."""

from __future__ import annotations

from pydantic import Field

from headgate.api.models import Answered, EstimateAnswer, Moment
from headgate.core.run import RunState


class ReasonAnswer(Answered):
    """One reason: its token, what it means, what would unblock it, and whether it keeps the run from starting."""

    token: str
    means: str
    unblock: str
    blocks: bool


class HoldingAnswer(Answered):
    """A run that holds a slot of the binding scope, and when it is expected to end."""

    run_id: str
    tenant_id: str
    kind: str
    user: str | None
    since: Moment
    expected_end: Moment


class WaitAnswer(EstimateAnswer):
    """An estimate, and where the durations behind it come from: `history` of their kinds, or the policy's `default`."""

    basis: str


class WhyAnswer(Answered):
    """Why a run waits. Of one that does not wait only its state, since when, and a sentence."""

    run_id: str
    state: RunState
    since: Moment
    waiting: bool
    position: int | None
    length: int | None
    ahead_by_priority: int | None
    waiting_for: list[ReasonAnswer]
    binding_scope: str | None
    holders: list[HoldingAnswer]
    other_holders: int = Field(description="holders of the binding scope that the caller may not see")
    expected_release: Moment | None
    unblock: str
    estimated_wait: WaitAnswer | None
    as_of: Moment


class CalibrationAnswer(Answered):
    """How estimates held: runs, the shares (0-1) that started within p50 and p90, the median of waited minus p50 (s)."""

    runs: int
    within_p50: float | None
    within_p90: float | None
    median_error_seconds: float | None


class ForecastAnswer(Answered):
    """The calibration of the latest runs that were told a wait, started and have ended; `read` = runs looked at."""

    total: CalibrationAnswer
    kinds: dict[str, CalibrationAnswer]
    read: int
    as_of: Moment


class TenantShareAnswer(Answered):
    """A tenant's part. Entitled and received slot-seconds count the time in which it had runs that could start;
    `share` is received / entitled. `heldSlotSeconds` is all it held."""

    tenant_id: str
    weight: float
    demand: bool
    entitled_slot_seconds: float
    received_slot_seconds: float
    held_slot_seconds: float
    share: float | None
    queued: int
    longest_wait_seconds: float


class FairnessAnswer(Answered):
    """Jain's index over the tenants with demand (1 = all alike, null = none had any), and each tenant's part."""

    since: Moment
    as_of: Moment
    jain: float | None
    complete: bool = Field(description="false = more runs ended in the window than were read")
    tenants: list[TenantShareAnswer]
