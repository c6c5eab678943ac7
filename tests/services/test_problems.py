"""Refusals and errors have exactly the keys of SPEC 3 and 14."""

from __future__ import annotations

import pytest

from headgate.core import errors
from headgate.core.admission import Refuse
from headgate.core.errors import Code
from headgate.web import problems

RECEIPT_AND_REQUEST = ["receiptId", "requestId"]


def refused(code: Code, **facts: object) -> problems.Problem:
    return problems.of_refusal(Refuse(code=code, error="No", reason="Because.", **facts), "rcpt_1", "req_1")  # type: ignore[arg-type]


def test_the_plans_limit() -> None:
    facts = {"current_usage": 5, "limit": 5, "plan": "pro", "retry_after": 30}

    problem = refused(Code.PLAN_LIMIT_CONCURRENCY, **facts)

    assert problem.status == 429
    keys = ["error", "reason", "currentUsage", "limit", "plan", "retryAfter", "code", *RECEIPT_AND_REQUEST]
    assert list(problem.body) == keys
    assert problem.headers == {"Retry-After": "30"}


def test_another_full_scope_has_the_same_shape_with_its_name() -> None:
    facts = {"current_usage": 2, "limit": 2, "scope": "repo:acme/acme/web", "retry_after": 30}

    problem = refused(Code.SCOPE_LIMIT_CONCURRENCY, **facts)

    assert problem.status == 429
    keys = ["error", "reason", "currentUsage", "limit", "scope", "retryAfter", "code", *RECEIPT_AND_REQUEST]
    assert list(problem.body) == keys


def test_a_paused_tenant() -> None:
    problem = refused(Code.TENANT_PAUSED, status="paused", retry_after=60)

    assert problem.status == 503
    assert list(problem.body) == ["error", "status", "message", "retryAfter", "code", *RECEIPT_AND_REQUEST]
    assert problem.headers == {"Retry-After": "60"}


@pytest.mark.parametrize("code", [Code.TENANT_SUSPENDED, Code.TENANT_DEACTIVATED])
def test_a_tenant_that_is_gone(code: Code) -> None:
    problem = refused(code, status="suspended")

    assert problem.status == 403
    assert list(problem.body) == ["error", "status", "message", "code", *RECEIPT_AND_REQUEST]
    assert problem.headers == {}


@pytest.mark.parametrize(
    ("code", "status", "facts", "extra"),
    [
        (Code.SCOPE_PAUSED, 503, {"scope": "repo:a/b/c", "status": "paused", "retry_after": 60}, ["scope", "status"]),
        (Code.MONTHLY_QUOTA, 429, {"current_usage": 100, "limit": 100, "plan": "free", "retry_after": 3600},
         ["currentUsage", "limit", "plan"]),
        (Code.QUEUE_FULL, 429, {"scope": "line:system", "current_usage": 9, "limit": 9, "retry_after": 30},
         ["scope", "currentUsage", "limit"]),
        (Code.USER_LIMIT_QUEUED, 429, {"scope": "line:user/a/b", "current_usage": 10, "limit": 10, "retry_after": 30},
         ["scope", "currentUsage", "limit"]),
        (Code.RATE_LIMITED, 429, {"retry_after": 1}, []),
        (Code.OVERLOADED, 503, {"retry_after": 60}, []),
        (Code.SYSTEM_DRAINING, 503, {"status": "draining", "retry_after": 60}, ["status"]),
        (Code.SYSTEM_MAINTENANCE, 503, {"status": "maintenance", "retry_after": 60}, ["status"]),
        (Code.CONCURRENCY_SKIPPED, 409, {"run_id": "run_1"}, ["runId"]),
        (Code.PRIORITY_CEILING, 422, {"limit": 5, "plan": "free"}, ["limit", "plan"]),
        (Code.NEVER_FITS, 422, {"scope": "kind:git", "limit": 0}, ["scope", "limit"]),
    ],
)  # fmt: skip
def test_the_others_carry_what_applies(code: Code, status: int, facts: dict, extra: list[str]) -> None:
    problem = refused(code, **facts)

    assert problem.status == status
    assert list(problem.body) == ["error", "reason", "code", "retryAfter", *extra, *RECEIPT_AND_REQUEST]
    assert problem.headers.get("Retry-After") == (str(facts["retry_after"]) if "retry_after" in facts else None)


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (errors.InvalidRequest("x", field="kind"), 400, {}),
        (errors.BodyTooLarge("x"), 413, {}),
        (errors.BodyTooSlow("x"), 408, {}),
        (errors.Unauthenticated("x"), 401, {"WWW-Authenticate": 'Bearer realm="headgate"'}),
        (errors.Forbidden("x"), 403, {}),
        (errors.NotFound("x"), 404, {}),
        (errors.MethodNotAllowed("x"), 405, {}),
        (errors.Conflicting("x"), 409, {}),
        (errors.IdempotencyMismatch("x"), 422, {}),
        (errors.Unavailable("x"), 503, {"Retry-After": "2"}),
        (errors.Unavailable("x", code=Code.STORE_CONTENTION, retry_after=3), 503, {"Retry-After": "3"}),
    ],
)
def test_errors(error: errors.HeadgateError, status: int, headers: dict) -> None:
    problem = problems.of_error(error, "req_1")

    assert (problem.status, dict(problem.headers)) == (status, headers)
    assert dict(problem.body) == {
        "error": error.title,
        "code": str(error.code),
        "detail": "x",
        "field": error.field,
        "requestId": "req_1",
    }


def test_a_limit_that_is_not_a_run_s_answers_as_a_refusal() -> None:
    rate = errors.LimitReached(Code.RATE_LIMITED, "No", "Because.", retry_after=3, receipt_id="rcpt_1")
    problem = problems.of_error(rate, "req_1")
    assert (problem.status, problem.headers) == (429, {"Retry-After": "3"})
    assert list(problem.body) == ["error", "reason", "code", "retryAfter", *RECEIPT_AND_REQUEST]
    members = errors.LimitReached(Code.PLAN_LIMIT_MEMBERS, "No", "Because.", current_usage=3, limit=3, plan="free")
    problem = problems.of_error(members, "req_1")
    assert (problem.status, problem.headers) == (403, {})
    keys = ["error", "reason", "code", "retryAfter", "currentUsage", "limit", "plan", "requestId"]
    assert list(problem.body) == keys


def test_what_is_no_callers_business_shows_nothing() -> None:
    problem = problems.of_error(errors.StaleFence("fence 3 of run_x"), "req_1")

    assert problem.status == 500
    assert "fence" not in str(problem.body)


def test_every_refusal_of_admission_has_a_status() -> None:
    of_requests = {
        Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED, Code.INVALID_REQUEST,
        Code.BODY_TOO_LARGE, Code.IDEMPOTENCY_MISMATCH, Code.STORE_UNAVAILABLE, Code.STORE_CONTENTION,
        Code.BROKER_UNAVAILABLE, Code.INTERNAL,
    }  # fmt: skip
    of_runs = {
        Code.MEMORY_LIMIT, Code.CPU_LIMIT, Code.TIMED_OUT, Code.DEAD_LETTERED, Code.WORKER_LOST, Code.HANDLER_ERROR,
        Code.EXIT_NONZERO,
    }  # fmt: skip

    assert set(problems.STATUS_OF_REFUSAL) == set(Code) - of_requests - of_runs
