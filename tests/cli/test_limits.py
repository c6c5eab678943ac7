"""`headgate limits` and `headgate audit-log`: what is asked, what is shown, and how a command ends."""

from __future__ import annotations

import json

import pytest

from tests.cli.standin import Answer

LIMIT = {
    "scope": "tenant:acme",
    "base": 5,
    "override": {
        "limit": 3,
        "by": "key_op",
        "reason": "INC-7",
        "since": "2026-07-01T12:00:00.000Z",
        "until": None,
    },
    "effective": 3,
    "used": 2,
}
FREE = {"scope": "kind:command", "base": None, "override": None, "effective": None, "used": 0}
TALLY = {"admitted": 5, "waited": 2, "refused": 1, "waitP50": 1.5, "waitP90": 4.0}
WHAT_IF = {
    "since": "2026-07-01T12:00:00.000Z",
    "until": "2026-07-02T12:00:00.000Z",
    "receipts": 8,
    "agreeing": 7,
    "tenants": [
        {
            "tenant": "acme",
            "submitted": 8,
            "recorded": TALLY,
            "now": TALLY,
            "then": TALLY | {"refused": 3, "admitted": 3},
        }
    ],
    "leftOut": ["pauses", "callers"],
}
RECORD = {
    "id": "aud_1",
    "at": "2026-07-01T12:00:00.000Z",
    "actor": "key_op",
    "action": "limit.set",
    "subject": "tenant:acme",
    "tenant": "acme",
    "before": {"limit": 5},
    "after": {"limit": 3},
    "reason": "INC-7",
    "requestId": "req_1",
}


@pytest.mark.parametrize("words", [["limits"], ["limits", "list"]])
def test_the_list(cli, server, demo, words):
    server.says(Answer(document={"limits": [LIMIT, FREE]}))
    lines = [line.split() for line in cli(*words).out.splitlines()]
    assert lines[0] == ["SCOPE", "LIMIT", "USED", "POLICY", "SET", "BY", "SINCE", "UNTIL", "REASON"]
    assert lines[1] == ["tenant:acme", "3", "2", "5", "key_op", "2026-07-01T12:00:00.000Z", "INC-7"]
    assert lines[2] == ["kind:command", "none", "0", "none"]
    assert server.asked[-1].path == "/admin/limits"
    assert server.asked[-1].headers["authorization"] == "Bearer key-operator"
    assert cli("--json", *words).document == {"limits": [LIMIT, FREE]}


def test_a_tenant_s_own(cli, server, demo):
    server.says(Answer(document={"limits": [LIMIT]}))
    cli("limits", "--tenant", "free-demo")
    assert server.asked[-1].path == "/tenants/free-demo/limits"
    assert server.asked[-1].headers["authorization"] == "Bearer key-free-demo"


def test_setting_and_taking_back(cli, server, demo):
    server.says(Answer(document={"limits": [LIMIT]}))
    until = "2030-01-31T08:00:00Z"
    assert cli("limits", "set", "tenant:acme", "3", "--reason", "INC-7", "--until", until).code == 0
    asked = server.asked[-1]
    assert (asked.method, asked.path) == ("PUT", "/admin/limits")
    assert asked.body == {
        "scope": "tenant:acme",
        "limit": 3,
        "reason": "INC-7",
        "until": "2030-01-31T08:00:00.000Z",
    }
    cli("limits", "set", "system", "0", "--reason", "stop")
    assert server.asked[-1].body == {"scope": "system", "limit": 0, "reason": "stop"}
    cli("limits", "reset", "tenant:acme", "--reason", "over", "--tenant", "pro-demo")
    assert server.asked[-1].path == "/tenants/pro-demo/limits"
    assert server.asked[-1].body == {"scope": "tenant:acme", "limit": None, "reason": "over"}


@pytest.mark.parametrize(
    "words",
    [
        ["set", "system", "5"],
        ["set", "system", "-1", "--reason", "x"],
        ["set", "system", "many", "--reason", "x"],
        ["set", "system", "5", "--reason", "x", "--until", "soon"],
        ["reset", "system"],
        ["what-if", "missing.json"],
        ["nonsense"],
    ],
)
def test_wrong_usage(cli, server, demo, words):
    assert cli("limits", *words).code == 2
    assert server.asked == []


def test_refusals_end_as_the_others_do(cli, server, demo):
    for status, code, exit in ((403, "FORBIDDEN", 4), (404, "NOT_FOUND", 4), (400, "INVALID_REQUEST", 2)):
        server.says(Answer(status, {"error": "No", "code": code, "detail": "because", "field": "scope"}))
        result = cli("limits", "set", "system", "5", "--reason", "x")
        assert result.code == exit
        assert "because" in result.err


def test_what_if(cli, server, demo, tmp_path):
    server.says(Answer(document=WHAT_IF))
    proposed = {"tenant:acme": 3, "system": 20, "user": 2}
    (tmp_path / "proposed.json").write_text(json.dumps({"limits": proposed}))
    result = cli("limits", "what-if", "proposed.json", "--since", "2026-07-01T12:00:00Z", "--tenant", "acme")
    asked = server.asked[-1]
    assert (asked.method, asked.path) == ("POST", "/admin/limits/what-if")
    assert asked.body == {"limits": proposed, "since": "2026-07-01T12:00:00.000Z", "tenant": "acme"}
    assert "5 → 3" in result.out
    assert "1 → 3" in result.out
    assert "1.5 s → 1.5 s" in result.out
    assert "8 receipts since" in result.out
    assert "- callers" in result.out
    assert cli("--json", "limits", "what-if", "proposed.json").document == WHAT_IF
    since = server.asked[-1].body["since"]
    assert since.endswith("Z")
    assert "tenant" not in server.asked[-1].body


@pytest.mark.parametrize(
    "text",
    ["plans: {pro: {concurrent: 3}}\n", "limits: {system: 20, kinds: {git: 3}}\n", "system: 20\n", "limits: 5\n"],
)
def test_a_policy_file_goes_as_it_is(cli, server, demo, tmp_path, text):
    server.says(Answer(document=WHAT_IF))
    (tmp_path / "policy.yaml").write_text(text)
    assert cli("limits", "what-if", "policy.yaml").code == 0
    assert server.asked[-1].body["policy"] == text


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"a: [", b"\x00"])
def test_a_file_that_is_neither(cli, server, demo, tmp_path, content):
    (tmp_path / "odd").write_bytes(content)
    result = cli("limits", "what-if", "odd")
    assert result.code == 2
    assert "odd" in result.err
    assert server.asked == []


@pytest.mark.parametrize("since", ["yesterday", "-1h", "2026-07-01T12:00:00", ""])
def test_since_must_be_said_well(cli, server, demo, since):
    assert cli("audit-log", "--since", since).code == 2


def test_the_audit_log(cli, server, demo):
    server.says(Answer(document={"items": [RECORD], "nextCursor": "more"}))
    words = ("--subject", "tenant:acme", "--action", "limit.set", "--actor", "key_op", "--limit", "1")
    result = cli("audit-log", *words, "--since", "2026-07-01T12:00:00Z")
    asked = server.asked[-1]
    assert asked.path == "/admin/audit-log"
    assert asked.query == {
        "limit": "1",
        "subject": "tenant:acme",
        "action": "limit.set",
        "actor": "key_op",
        "since": "2026-07-01T12:00:00.000Z",
    }
    assert result.out.splitlines()[1].split()[:4] == ["2026-07-01", "12:00:00", "key_op", "limit.set"]
    assert '{"limit": 3}' in result.out
    assert "--all" in result.err
    cli("audit-log", "--tenant", "pro-demo", "--limit", "1")
    assert server.asked[-1].path == "/tenants/pro-demo/audit-log"
    assert cli("--json", "audit-log", "--limit", "1").document["items"] == [RECORD]
