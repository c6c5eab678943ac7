"""Structured logs: one JSON object a line in Cloud Logging's shape, or a readable line on a terminal.

Every line has a stable `action` word. Correlation comes from `correlated(...)`, so no call has to repeat it. Secrets
are removed in one place, here.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

# https://cloud.google.com/logging/docs/structured-logging: special fields of a JSON payload.
TRACE_FIELD = "logging.googleapis.com/trace"
SPAN_FIELD = "logging.googleapis.com/spanId"

SECRETS = re.compile(r"hg_[0-9a-z]{20}_[A-Za-z0-9_-]+|(?i:bearer) +[A-Za-z0-9._~+/-]{16,}=*")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x9b]")
REDACTED = "[redacted]"

_context: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("correlation", default={})  # noqa: B039


@contextlib.contextmanager
def correlated(**names: str | None) -> Iterator[None]:
    """Every line logged inside carries these names (request_id, trace …)."""
    token = _context.set({**_context.get(), **{name: value for name, value in names.items() if value}})
    try:
        yield
    finally:
        _context.reset(token)


class LogTelemetry:
    """`Telemetry` as log lines."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def info(self, action: str, **facts: object) -> None:
        """See Telemetry."""
        self._log(logging.INFO, action, facts)

    def warning(self, action: str, **facts: object) -> None:
        """See Telemetry."""
        self._log(logging.WARNING, action, facts)

    def error(self, action: str, error: BaseException | None = None, **facts: object) -> None:
        """See Telemetry."""
        self._log(logging.ERROR, action, facts, error)

    def _log(self, level: int, action: str, facts: Mapping[str, object], error: BaseException | None = None) -> None:
        known = {name: value for name, value in facts.items() if value is not None}
        self._logger.log(level, action, extra={"facts": {**_context.get(), **known}}, exc_info=error)


def logging_to_stderr(style: str, level: str, project: str | None = None) -> LogTelemetry:
    """Telemetry that writes to standard error: `style` is json, pretty or auto (pretty on a terminal)."""
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrettyFormatter() if pretty else JsonFormatter(project))
    logger = logging.getLogger("headgate")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    server = logging.getLogger("uvicorn.error")  # what the HTTP server has to say comes in the same form
    server.handlers, server.propagate = [handler], False
    server.setLevel(logging.WARNING)
    return LogTelemetry(logger)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `severity`, `message`, `time`, `action` and the facts."""

    def __init__(self, project: str | None = None) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets."""
        facts: dict[str, Any] = dict(getattr(record, "facts", {}))
        entry: dict[str, Any] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "message": _sentence(record.getMessage(), facts),
            "action": record.getMessage() if record.name == "headgate" else record.name,
            **facts,
        }
        trace = facts.get("traceparent")
        if isinstance(trace, str) and trace.count("-") == 3 and self._project:
            entry[TRACE_FIELD] = f"projects/{self._project}/traces/{trace.split('-')[1]}"
            entry[SPAN_FIELD] = trace.split("-")[2]
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return redacted(json.dumps(entry, default=str, ensure_ascii=True))


class PrettyFormatter(logging.Formatter):
    """For people: time, level, action, facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets and control characters."""
        facts = getattr(record, "facts", {})
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        pairs = " ".join(f"{name}={value}" for name, value in facts.items())
        line = CONTROL.sub("?", f"{at} {record.levelname.lower():7} {record.getMessage():24} {pairs}".rstrip())
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return redacted(line)


def redacted(text: str) -> str:
    """The text without keys and bearer tokens."""
    return SECRETS.sub(REDACTED, text)


def _sentence(action: str, facts: Mapping[str, object]) -> str:
    subject = facts.get("run_id") or facts.get("tenant") or facts.get("path")
    return f"{action} {subject}" if subject else action
