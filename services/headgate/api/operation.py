"""What an operation of the API is, and the parts from which the table of them is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from headgate.api import models
from headgate.web.auth import PUBLIC

JSON = "application/json"
TEXT = "text/plain"
EVENTS = "text/event-stream"
BINARY = "application/octet-stream"

Schema = Mapping[str, Any]
Content = type[BaseModel] | tuple[type[BaseModel], ...] | Schema
"""A model, any of several, or a schema as it stands."""
TEXT_SCHEMA: Schema = {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One status: what it means, its content by media type, and headers of its own."""

    means: str
    content: Mapping[str, Content] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `here` = a view answers it; others are answered by the front itself."""

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, Answer]
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    body: type[BaseModel] | None = None
    body_optional: bool = False
    here: bool = True

    @property
    def public(self) -> bool:
        """Whether it needs no key."""
        return self.path in PUBLIC


def gives(model: type[BaseModel], means: str, *headers: str) -> Answer:
    """An answer in JSON."""
    return Answer(means=means, content={JSON: model}, headers=headers)


def refuses(means: str) -> Answer:
    """A refusal, to be tried again later."""
    return Answer(means=means, content={JSON: models.RefusalAnswer}, headers=("Retry-After",))


EITHER = (models.RefusalAnswer, models.ErrorAnswer)
TENANT = "/tenants/{tenantId}"
RUN = TENANT + "/runs/{runId}"
PAGE: Mapping[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    "cursor": {"type": "string", "description": "the nextCursor of the page before"},
}
