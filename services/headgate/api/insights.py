"""Views that explain: why a run waits, whether estimates hold, how fair the shares are."""

from __future__ import annotations

from dataclasses import asdict

from headgate.api.exchange import Ask, Reply, View
from headgate.api.insight_models import (
    CalibrationAnswer,
    FairnessAnswer,
    ForecastAnswer,
    HoldingAnswer,
    ReasonAnswer,
    TenantShareAnswer,
    WaitAnswer,
    WhyAnswer,
)
from headgate.core.access import Permission
from headgate.core.calibration import Calibration
from headgate.core.errors import InvalidRequest
from headgate.flow.calibrations import forecast_report
from headgate.flow.fairness_report import WINDOW_SECONDS, TenantShare, fairness_report
from headgate.flow.why import Holding, Why, why
from headgate.wiring import System


class InsightViews:
    """`…/why`, `/admin/forecast`, `/admin/fairness`."""

    def __init__(self, system: System) -> None:
        self._deps = system.deps

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {"whyRun": self.why, "getForecast": self.forecast, "getFairness": self.fairness}

    def why(self, ask: Ask) -> Reply:
        """Why the run waits."""
        found = why(self._deps, ask.caller, ask.path["tenantId"], ask.path["runId"])
        return Reply(body=_why(found).as_json())

    def forecast(self, ask: Ask) -> Reply:
        """How often p90 held."""
        ask.require(Permission.PLATFORM_READ)
        found = forecast_report(self._deps)
        kinds = {kind: _calibration(one) for kind, one in found.kinds.items()}
        answer = ForecastAnswer(total=_calibration(found.total), kinds=kinds, read=found.read, as_of=found.as_of)
        return Reply(body=answer.as_json())

    def fairness(self, ask: Ask) -> Reply:
        """Entitled and received."""
        ask.require(Permission.PLATFORM_READ)
        found = fairness_report(self._deps, _window(ask.query.get("window")))
        answer = FairnessAnswer(
            since=found.since,
            as_of=found.as_of,
            jain=None if found.jain is None else round(found.jain, 4),
            complete=found.complete,
            tenants=[_share(one) for one in found.tenants],
        )
        return Reply(body=answer.as_json())


def _window(text: str | None) -> float:
    if text is None:
        return WINDOW_SECONDS
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 60 <= int(text) <= 86_400):
        raise InvalidRequest("window must be a whole number of seconds from 60 to 86400.", field="window")
    return float(text)


def _why(found: Why) -> WhyAnswer:
    run, line = found.run, found.line
    wait = line.estimated_wait if line else None
    return WhyAnswer(
        run_id=run.id,
        state=run.state,
        since=found.since,
        waiting=line is not None,
        position=line.position if line else None,
        length=line.length if line else None,
        ahead_by_priority=line.ahead_by_priority if line else None,
        waiting_for=[
            ReasonAnswer(token=token, means=said.why, unblock=said.unblock, blocks=said.blocks)
            for token, said in found.said
        ],
        binding_scope=found.binding,
        holders=[_holding(one) for one in found.holders],
        other_holders=found.others,
        expected_release=found.expected_release,
        unblock=found.unblock,
        estimated_wait=None if wait is None else WaitAnswer(p50=wait.p50, p90=wait.p90, basis=wait.basis),
        as_of=found.as_of,
    )


def _holding(one: Holding) -> HoldingAnswer:
    facts = asdict(one)
    return HoldingAnswer(tenant_id=facts.pop("tenant"), **facts)


def _calibration(one: Calibration) -> CalibrationAnswer:
    return CalibrationAnswer(
        runs=one.runs,
        within_p50=one.within_p50,
        within_p90=one.within_p90,
        median_error_seconds=one.median_error,
    )


def _share(one: TenantShare) -> TenantShareAnswer:
    part = one.part
    return TenantShareAnswer(
        tenant_id=one.tenant,
        weight=one.weight,
        demand=part.demand,
        entitled_slot_seconds=round(part.entitled, 3),
        received_slot_seconds=round(part.received, 3),
        held_slot_seconds=round(part.held, 3),
        share=round(part.received / part.entitled, 4) if part.demand and part.entitled else None,
        queued=one.queued,
        longest_wait_seconds=round(one.longest_wait, 3),
    )
