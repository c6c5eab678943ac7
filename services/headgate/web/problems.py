"""The one table from our codes and errors to HTTP, and the JSON bodies that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from headgate.core import errors
from headgate.core.admission import Refuse
from headgate.core.errors import Code, HeadgateError, LimitReached

STATUS_OF_REFUSAL: Mapping[Code, int] = MappingProxyType(
    {
        Code.PLAN_LIMIT_CONCURRENCY: 429,
        Code.SCOPE_LIMIT_CONCURRENCY: 429,
        Code.USER_LIMIT_QUEUED: 429,
        Code.QUEUE_FULL: 429,
        Code.RATE_LIMITED: 429,
        Code.MONTHLY_QUOTA: 429,
        Code.PLAN_LIMIT_REPOS: 403,
        Code.PLAN_LIMIT_MEMBERS: 403,
        Code.TENANT_PAUSED: 503,
        Code.SCOPE_PAUSED: 503,
        Code.TENANT_SUSPENDED: 403,
        Code.TENANT_DEACTIVATED: 403,
        Code.SYSTEM_DRAINING: 503,
        Code.SYSTEM_MAINTENANCE: 503,
        Code.OVERLOADED: 503,
        Code.CONCURRENCY_SKIPPED: 409,
        Code.PRIORITY_CEILING: 422,
        Code.NEVER_FITS: 422,
    }
)

STATUS_OF_ERROR: Mapping[type[HeadgateError], int] = MappingProxyType(
    {
        errors.InvalidRequest: 400,
        errors.BodyTooLarge: 413,
        errors.BodyTooSlow: 408,
        errors.Unauthenticated: 401,
        errors.Forbidden: 403,
        errors.NotFound: 404,
        errors.MethodNotAllowed: 405,
        errors.Conflicting: 409,
        errors.IdempotencyMismatch: 422,
        errors.Unavailable: 503,
    }
)
"""The nearest class of an error's own decides; what is not below one of these is a bug of ours: 500."""

CHALLENGE = 'Bearer realm="headgate"'

_SHAPES: Mapping[Code, tuple[str, ...]] = MappingProxyType(
    {
        Code.PLAN_LIMIT_CONCURRENCY: ("error", "reason", "currentUsage", "limit", "plan", "retryAfter", "code"),
        Code.SCOPE_LIMIT_CONCURRENCY: ("error", "reason", "currentUsage", "limit", "scope", "retryAfter", "code"),
        Code.TENANT_PAUSED: ("error", "status", "message", "retryAfter", "code"),
        Code.TENANT_SUSPENDED: ("error", "status", "message", "code"),
        Code.TENANT_DEACTIVATED: ("error", "status", "message", "code"),
    }
)
"""Refusals whose keys are fixed to the letter; any other carries the four of `_COMMON` and what applies."""
_COMMON = ("error", "reason", "code", "retryAfter")
_WHERE_IT_APPLIES = ("scope", "currentUsage", "limit", "plan", "status", "runId")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An answer that says no: status, JSON body, headers."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


def of_refusal(refusal: Refuse, receipt_id: str | None, request_id: str) -> Problem:
    """The answer to a refused submission. `Retry-After` equals the body's `retryAfter`."""
    facts: dict[str, object] = {
        "error": refusal.error,
        "reason": refusal.reason,
        "message": refusal.reason,
        "code": str(refusal.code),
        "retryAfter": refusal.retry_after,
        "scope": refusal.scope,
        "currentUsage": refusal.current_usage,
        "limit": refusal.limit,
        "plan": refusal.plan,
        "status": refusal.status,
        "runId": refusal.run_id,
    }
    keys = _SHAPES.get(refusal.code)
    if keys is None:
        keys = (*_COMMON, *(key for key in _WHERE_IT_APPLIES if facts[key] is not None))
    receipt = {} if receipt_id is None else {"receiptId": receipt_id}
    body = {key: facts[key] for key in keys} | receipt | {"requestId": request_id}
    return Problem(status=STATUS_OF_REFUSAL[refusal.code], body=body, headers=_retry(refusal.retry_after))


def of_error(error: HeadgateError, request_id: str) -> Problem:
    """The answer to a request that went wrong. What is no business of the caller's answers as `internal`."""
    if isinstance(error, LimitReached):
        return of_refusal(_refusal_of(error), error.receipt_id, request_id)
    found = (STATUS_OF_ERROR[cls] for cls in type(error).__mro__ if cls in STATUS_OF_ERROR)
    status = next(found, 500)
    if status == 500:
        return internal(request_id)
    headers = _retry(error.retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    return Problem(status=status, body=_body(error, request_id), headers=headers)


def _refusal_of(error: LimitReached) -> Refuse:
    return Refuse(
        code=error.code,
        error=error.title,
        reason=error.detail,
        retry_after=error.retry_after,
        current_usage=error.current_usage,
        limit=error.limit,
        plan=error.plan,
    )


def internal(request_id: str) -> Problem:
    """The answer when we have a bug: it shows nothing of the inside; the log has the rest under the request id."""
    error = HeadgateError("Something went wrong on our side. Try again; if it stays, report the requestId.")
    return Problem(status=500, body=_body(error, request_id))


def _body(error: HeadgateError, request_id: str) -> Mapping[str, object]:
    return {
        "error": error.title,
        "code": str(error.code),
        "detail": error.detail,
        "field": error.field,
        "requestId": request_id,
    }


def _retry(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": str(seconds)}
