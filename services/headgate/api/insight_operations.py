"""The table's part that explains: why a run waits, whether estimates hold, how fair the shares are."""

from __future__ import annotations

from headgate.api import insight_models
from headgate.api.operation import RUN, Operation, gives

WHY: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path=RUN + "/why",
        name="whyRun",
        summary="Why a run waits: its place, the reasons in words, who holds what it needs, what would unblock it",
        answers={200: gives(insight_models.WhyAnswer, "the reasons; of a run that does not wait, its state")},
    ),
)

REPORTS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/admin/forecast",
        name="getForecast",
        summary="Whether the estimates of waits hold (operators)",
        answers={200: gives(insight_models.ForecastAnswer, "how often p50 and p90 held, over all and by kind")},
    ),
    Operation(
        method="GET",
        path="/admin/fairness",
        name="getFairness",
        summary="What each tenant was entitled to and received (operators)",
        query={
            "window": {"type": "integer", "minimum": 60, "maximum": 86_400, "default": 3600, "description": "seconds"}
        },
        answers={200: gives(insight_models.FairnessAnswer, "slot-seconds by tenant, and Jain's index")},
    ),
)
