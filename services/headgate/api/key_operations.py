"""What the API says of a tenant's keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from headgate.api import models
from headgate.api.models import Answered
from headgate.api.operation import EITHER, JSON, TENANT, TEXT_SCHEMA, Answer, Operation, gives
from headgate.api.requests import Asked

RoleName = Literal["OWNER", "ADMIN", "DEVELOPER", "VIEWER"]


class KeyRequest(Asked):
    """A key to issue. With `user` it is that member's own: it *is* the user. Without, it is a service key."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    role: RoleName
    user: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = (
        Field(default=None)
    )


class KeyAnswer(Answered):
    """A key as it is stored: its secret is not."""

    key_id: str
    name: str
    role: RoleName
    user: str | None
    created_at: models.Moment
    revoked_at: models.Moment | None


class IssuedKeyAnswer(KeyAnswer):
    """A new key, with the only sight there will ever be of it."""

    api_key: str


class KeyListAnswer(Answered):
    """A tenant's keys, the latest first; there are few."""

    items: list[KeyAnswer]
    next_cursor: str | None


KEYS = (
    Operation(
        method="GET",
        path=TENANT + "/keys",
        name="listKeys",
        summary="The tenant's API keys, without their secrets (owners)",
        answers={200: gives(KeyListAnswer, "the keys, those that were revoked included")},
    ),
    Operation(
        method="POST",
        path=TENANT + "/keys",
        name="issueKey",
        summary="Issue an API key; it is shown this once (owners)",
        body=KeyRequest,
        answers={
            201: gives(IssuedKeyAnswer, "the key"),
            403: Answer(means="the role does not allow it, or the plan no further member", content={JSON: EITHER}),
        },
    ),
    Operation(
        method="DELETE",
        path=TENANT + "/keys",
        name="revokeKey",
        summary="Revoke an API key; within a minute it is good for nothing (owners)",
        query={"keyId": TEXT_SCHEMA},
        answers={200: gives(KeyAnswer, "the key, revoked")},
    ),
)
