"""The tree of errors: each carries a stable code, what to do, and where it can be told the field and when to retry."""

from __future__ import annotations

import pytest

from headgate.core import errors
from headgate.core.errors import BodyTooLarge, Code, HeadgateError, IllegalTransition, InvalidRequest, Unavailable

TREE = {
    "InvalidRequest": Code.INVALID_REQUEST,
    "BodyTooLarge": Code.BODY_TOO_LARGE,
    "Unauthenticated": Code.UNAUTHENTICATED,
    "Forbidden": Code.FORBIDDEN,
    "NotFound": Code.NOT_FOUND,
    "MethodNotAllowed": Code.METHOD_NOT_ALLOWED,
    "Conflicting": Code.INVALID_REQUEST,
    "IdempotencyMismatch": Code.IDEMPOTENCY_MISMATCH,
    "Unavailable": Code.STORE_UNAVAILABLE,
    "StaleFence": Code.INTERNAL,
}


@pytest.mark.parametrize(("name", "code"), TREE.items())
def test_each_error_has_its_code_and_its_detail(name: str, code: Code) -> None:
    error = getattr(errors, name)("what happened, and how to mend it")
    assert isinstance(error, HeadgateError)
    assert (error.code, error.detail, str(error)) == (code, error.detail, "what happened, and how to mend it")
    assert error.title


def test_a_wrong_field_is_named() -> None:
    error = BodyTooLarge("at most 512 KiB", field="input")
    assert isinstance(error, InvalidRequest)
    assert error.field == "input"


def test_an_unavailable_store_says_when_to_try_again() -> None:
    error = Unavailable("too many at once", code=Code.STORE_CONTENTION)
    assert (error.code, error.retry_after) == (Code.STORE_CONTENTION, 2)
    assert Unavailable("down", retry_after=9).retry_after == 9


def test_a_change_that_the_diagram_lacks_is_no_callers_error() -> None:
    assert not issubclass(IllegalTransition, HeadgateError)


def test_a_code_is_its_own_name() -> None:
    assert [code.value for code in Code] == list(Code.__members__)
