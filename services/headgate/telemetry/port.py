"""The seam: facts with a stable `action` word. What becomes of them (log line, metric) is the adapter's business."""

from __future__ import annotations

from typing import Protocol


class Telemetry(Protocol):
    """Says what happened. Never raises, never blocks for long."""

    def info(self, action: str, **facts: object) -> None:
        """Something normal: `run.admitted`, `run.finished` …"""

    def warning(self, action: str, **facts: object) -> None:
        """Something an operator may want to know: a refusal, a late result, a message that could not be published."""

    def error(self, action: str, error: BaseException | None = None, **facts: object) -> None:
        """Something that should not have happened, with its traceback."""
