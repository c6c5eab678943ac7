"""The exit codes, and the words that go with them."""

import socket

import pytest

from headgate.cli.client import exit_of
from headgate.cli.exits import Exit
from headgate.core.errors import Code
from tests.cli.standin import Answer, a_run

REFUSAL = {
    "error": "Concurrency limit exceeded",
    "reason": "Concurrent run limit reached (5 concurrent runs on Pro plan). Wait for existing runs to complete.",
    "currentUsage": 5, "limit": 5, "plan": "pro", "retryAfter": 30, "code": "PLAN_LIMIT_CONCURRENCY",
    "receiptId": "rcpt_1", "requestId": "req_1",
}  # fmt: skip
PAUSED = {
    "error": "Tenant is temporarily paused", "status": "paused", "message": "Run processing is temporarily suspended.",
    "retryAfter": 60, "code": "TENANT_PAUSED", "receiptId": "rcpt_2",
}  # fmt: skip
INVALID = {
    "error": "Invalid request",
    "code": "INVALID_REQUEST",
    "detail": "Give a name from the list.",
    "field": "input.command",
}


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (
            429,
            REFUSAL,
            1,
            ("Concurrent run limit reached (5", "Try again in 30 s", "rcpt_1", "req_1", "PLAN_LIMIT_CONCURRENCY"),
        ),
        (503, PAUSED, 1, ("temporarily suspended", "60 s", "rcpt_2")),
        (400, INVALID, 2, ("field: input.command", "Give a name from the list.")),
        (
            401,
            {"error": "Authentication required", "code": "UNAUTHENTICATED", "detail": "Send a key."},
            4,
            ("Send a key.",),
        ),
        (502, "<html>", 3, ("502", "Is another server there?")),
        (404, ["no"], 3, ("404",)),
    ],
)
def test_answers(cli, server, demo, status, body, code, words):
    server.says(Answer(status, body) if not isinstance(body, str) else Answer(status, text=body))
    result = cli("submit", "command", "true")
    assert (result.code, result.out) == (code, "")
    assert all(word in result.err for word in words), result.err


def test_with_json_a_refusal_is_the_document(cli, server, demo):
    server.says(Answer(429, REFUSAL))
    result = cli("submit", "command", "true", "--json")
    assert (result.code, result.document) == (1, REFUSAL)
    assert "Concurrency limit exceeded" in result.err


@pytest.mark.parametrize(
    ("code", "status", "exit"),
    [
        *((code, 404, Exit.DENIED) for code in (Code.NOT_FOUND, Code.FORBIDDEN, Code.UNAUTHENTICATED)),
        *((code, 422, Exit.USAGE) for code in (Code.PRIORITY_CEILING, Code.NEVER_FITS, Code.IDEMPOTENCY_MISMATCH)),
        (Code.BODY_TOO_LARGE, 413, Exit.USAGE),
        (Code.INVALID_REQUEST, 409, Exit.FAILED),
        *((code, 403, Exit.FAILED) for code in (Code.TENANT_SUSPENDED, Code.PLAN_LIMIT_REPOS)),
        (Code.CONCURRENCY_SKIPPED, 409, Exit.FAILED),
        *((code, 503, Exit.FAILED) for code in (Code.STORE_UNAVAILABLE, Code.BROKER_UNAVAILABLE)),
        ("SOMETHING_NEW", 418, Exit.FAILED),
    ],
)
def test_codes(code, status, exit):
    assert exit_of(str(code), status) is exit


def test_nobody_listens(cli):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = cli("runs", "--url", f"http://127.0.0.1:{port}", "--api-key", "k", "--tenant", "t")
    assert result.code == 3
    assert "headgate up" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "No such command 'nothing'"),
        (("run", "show"), "Missing argument 'RUN_ID'"),
        (("runs", "--state", "asleep"), "'asleep' is not one of 'queued'"),
        (("runs", "--limit", "0"), "0 is not in the range"),
        (("up", "--port", "x"), 'PORT="x": give a whole number from 1 to 65535'),
        (("up", "--store", "paper"), 'HEADGATE_STORE="paper"'),
        (("runs", "--url", "gopher://x"), 'HEADGATE_URL="gopher://x": give a URL'),
        (("policy", "show", "--policy", "none.yaml"), 'HEADGATE_POLICY="none.yaml": there is no such file'),
    ],
)
def test_wrong_usage(cli, arguments, words):
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert words in result.err


def test_no_words_at_all_show_the_help(cli):
    result = cli()
    assert result.code == 2
    assert "Commands:" in result.err


def test_a_wrong_variable_is_named_with_its_remedy(cli, monkeypatch):
    monkeypatch.setenv("HEADGATE_STOER", "sqlite")
    result = cli("runs")
    assert result.code == 2
    assert "did you mean HEADGATE_STORE?" in result.err


def test_submit_and_wait_fails_with_the_run(cli, server, demo):
    from tests.cli.standin import sse

    failed = a_run(state="failed", error={"code": "EXIT_NONZERO", "message": "It ended with 1."})
    finished = [sse(1, "run.finished", state="failed")]

    def answers(asked):
        if asked.path.endswith("/events"):
            return Answer(stream=finished)
        return Answer(document=a_run() if asked.method == "POST" else failed)

    server.answers = answers
    result = cli("submit", "command", "false", "--wait")
    assert result.code == 1
    assert "run_1 failed, EXIT_NONZERO: It ended with 1." in result.err
    as_json = cli("submit", "command", "false", "--wait", "--json")
    assert (as_json.code, as_json.document) == (1, failed)
