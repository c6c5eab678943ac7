"""The one tree of errors, and the one list of stable codes.

HeadgateError                     anything of ours that a caller may see
├── InvalidRequest                400  a field is wrong: field, value, remedy
│   ├── BodyTooLarge              413
│   └── BodyTooSlow               408
├── Unauthenticated               401
├── Forbidden                     403
├── NotFound                      404  unknown and foreign alike
├── MethodNotAllowed              405
├── Conflicting                   409  the thing exists, or its state does not allow this
├── IdempotencyMismatch           422  the key was used for another body
├── Unavailable                   503  STORE_UNAVAILABLE, STORE_CONTENTION, BROKER_UNAVAILABLE
├── LimitReached                       429 RATE_LIMITED, 403 PLAN_LIMIT_MEMBERS
└── StaleFence                         a dead attempt wrote; never reaches a caller
IllegalTransition                 a bug of ours: asked for a change the diagram does not have

Refusals of admission (429/503/422/403) are *values* (core.admission.Refuse), not errors.
The HTTP status of each is in web/problems.py.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Every code a caller can meet. Stable: a code is never renamed or reused."""

    # refusals of admission
    PLAN_LIMIT_CONCURRENCY = "PLAN_LIMIT_CONCURRENCY"
    SCOPE_LIMIT_CONCURRENCY = "SCOPE_LIMIT_CONCURRENCY"
    USER_LIMIT_QUEUED = "USER_LIMIT_QUEUED"
    QUEUE_FULL = "QUEUE_FULL"
    RATE_LIMITED = "RATE_LIMITED"
    MONTHLY_QUOTA = "MONTHLY_QUOTA"
    PLAN_LIMIT_REPOS = "PLAN_LIMIT_REPOS"
    PLAN_LIMIT_MEMBERS = "PLAN_LIMIT_MEMBERS"
    TENANT_PAUSED = "TENANT_PAUSED"
    SCOPE_PAUSED = "SCOPE_PAUSED"
    TENANT_SUSPENDED = "TENANT_SUSPENDED"
    TENANT_DEACTIVATED = "TENANT_DEACTIVATED"
    SYSTEM_DRAINING = "SYSTEM_DRAINING"
    SYSTEM_MAINTENANCE = "SYSTEM_MAINTENANCE"
    OVERLOADED = "OVERLOADED"
    CONCURRENCY_SKIPPED = "CONCURRENCY_SKIPPED"
    PRIORITY_CEILING = "PRIORITY_CEILING"
    NEVER_FITS = "NEVER_FITS"
    # errors of requests
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    INVALID_REQUEST = "INVALID_REQUEST"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    STORE_CONTENTION = "STORE_CONTENTION"
    BROKER_UNAVAILABLE = "BROKER_UNAVAILABLE"
    INTERNAL = "INTERNAL"
    # how a run can fail
    MEMORY_LIMIT = "MEMORY_LIMIT"
    CPU_LIMIT = "CPU_LIMIT"
    TIMED_OUT = "TIMED_OUT"
    DEAD_LETTERED = "DEAD_LETTERED"
    WORKER_LOST = "WORKER_LOST"
    HANDLER_ERROR = "HANDLER_ERROR"
    EXIT_NONZERO = "EXIT_NONZERO"


class HeadgateError(Exception):
    """Root of the tree. `code` is stable, `detail` says what happened and how to mend it."""

    code: Code = Code.INTERNAL
    title: str = "Internal error"

    def __init__(self, detail: str, *, field: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after = retry_after


class InvalidRequest(HeadgateError):
    """Something the caller sent is wrong; `field` names it."""

    code = Code.INVALID_REQUEST
    title = "Invalid request"


class BodyTooLarge(InvalidRequest):
    """The body or its `input` is above its limit."""

    code = Code.BODY_TOO_LARGE
    title = "Body too large"


class BodyTooSlow(InvalidRequest):
    """The body did not arrive in time."""

    title = "Request timeout"


class Unauthenticated(HeadgateError):
    """No credential, or one we do not know."""

    code = Code.UNAUTHENTICATED
    title = "Authentication required"


class Forbidden(HeadgateError):
    """The credential is good, its role does not allow this."""

    code = Code.FORBIDDEN
    title = "Permission denied"


class NotFound(HeadgateError):
    """There is no such thing, or not for this caller: both answer alike."""

    code = Code.NOT_FOUND
    title = "Not found"


class MethodNotAllowed(HeadgateError):
    """The path exists, the method does not."""

    code = Code.METHOD_NOT_ALLOWED
    title = "Method not allowed"


class Conflicting(HeadgateError):
    """The request is well-formed but the thing's state does not allow it."""

    code = Code.INVALID_REQUEST
    title = "Conflict"


class IdempotencyMismatch(HeadgateError):
    """The Idempotency-Key was used before with another body."""

    code = Code.IDEMPOTENCY_MISMATCH
    title = "Idempotency key reused"


class Unavailable(HeadgateError):
    """A dependency of ours is down or too contended; nothing is known to have changed. Try again."""

    code = Code.STORE_UNAVAILABLE
    title = "Service temporarily unavailable"

    def __init__(self, detail: str, *, code: Code = Code.STORE_UNAVAILABLE, retry_after: int = 2) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.code = code


class LimitReached(HeadgateError):
    """A limit of the tenant that is not a run's, as its requests a second: answered as a refused run is."""

    def __init__(self, code: Code, title: str, reason: str, *, retry_after: int | None = None,
                 current_usage: int | None = None, limit: int | None = None, plan: str | None = None,
                 receipt_id: str | None = None) -> None:  # fmt: skip
        super().__init__(reason, retry_after=retry_after)
        self.code = code
        self.title = title
        self.current_usage = current_usage
        self.limit = limit
        self.plan = plan
        self.receipt_id = receipt_id


class StaleFence(HeadgateError):
    """A write carried an old fence: its attempt is over and another outcome stands. The write changed nothing."""

    title = "Stale attempt"


class IllegalTransition(Exception):
    """A state change that the diagram in core/lifecycle.py does not have. Always a bug of the caller."""
