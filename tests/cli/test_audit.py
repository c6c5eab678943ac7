"""headgate audit: the report as it is told, and how it ends."""

import json

import pytest

from tests.cli.standin import Answer

CLEAN: dict = {"violations": [], "checked": {"tenants": 3, "runs": 7}, "repaired": []}
LEAK = {"invariant": "I2", "subject": "tenant:acme", "detail": "run_9 holds a slot and should not: a leak"}


def test_nothing_found(cli, server, demo):
    server.says(Answer(document=CLEAN))
    result = cli("audit")
    assert (result.code, result.out) == (0, "0 violations in 3 tenants, 7 runs\n")
    [asked] = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/admin/audit", {})
    assert asked.headers["authorization"] == "Bearer key-operator"


def test_a_violation_is_told_and_fails(cli, server, demo):
    server.says(Answer(document=CLEAN | {"violations": [LEAK]}))
    result = cli("audit")
    assert result.code == 1
    assert result.out.splitlines()[1].split(maxsplit=2) == list(LEAK.values())
    assert cli("--json", "audit").document["violations"] == [LEAK]


def test_a_repair_has_a_reason(cli, server, demo):
    server.says(Answer(document=CLEAN | {"repaired": ["tenant:acme: waiting 3 → 2 (aud_1)"]}))
    result = cli("audit", "--repair", "--reason", "incident 42")
    assert result.code == 0
    assert result.out.startswith("repaired tenant:acme: waiting 3 → 2 (aud_1)\n")
    assert server.asked[0].body == {"repair": True, "reason": "incident 42"}


@pytest.mark.parametrize("words", [("--repair",), ("--repair", "--reason", " "), ("--reason", "why")])
def test_usage(cli, server, demo, words):
    assert cli("audit", *words).code == 2
    assert server.asked == []


def test_what_cannot_be_repaired_fails(cli, server, demo):
    server.says(Answer(document=CLEAN | {"violations": [LEAK], "repaired": ["x: y (aud_1)"]}))
    assert cli("audit", "--repair", "--reason", "r").code == 1


def line(seq: int, state: str, run: str = "run_1") -> str:
    data = {"state": state, "fence": seq // 2}
    facts = {
        "runId": run,
        "tenantId": "acme",
        "seq": seq,
        "at": "2026-07-01T12:00:00.000Z",
        "type": "run.x",
        "data": data,
    }
    return json.dumps(facts) + "\n"


def test_a_recorded_log_is_checked_without_a_server(cli, tmp_path):
    log = tmp_path / "events.jsonl"
    log.write_text(line(1, "queued") + line(2, "pending") + line(1, "pending", "run_2"))
    assert cli("audit", "--log", str(log)).out == "0 violations in 3 events, 2 runs\n"
    over = cli("--json", "audit", "--log", str(log), "--cap", "tenant:acme=1")
    assert (over.code, over.document["violations"][0]["invariant"]) == (1, "I1")
    log.write_text(line(1, "queued") + line(2, "completed"))
    assert cli("--json", "audit", "--log", str(log)).document["violations"][0]["invariant"] == "I6"


@pytest.mark.parametrize(
    "words",
    [
        ("--cap", "system"),
        ("--cap", "kind:git=3"),
        ("--cap", "user:acme/ada=1"),
        ("--cap", "sytem=1"),
        ("--cap", "tenant:=1"),
        ("--repair", "--reason", "r"),
        (),
    ],
)
def test_a_log_that_cannot_be_read_is_wrong_usage(cli, tmp_path, words):
    log = tmp_path / "events.jsonl"
    log.write_text(line(1, "queued") if words else '{"runId": 1}')
    result = cli("audit", "--log", str(log), *words)
    assert result.code == 2
    assert "--cap" not in words or words[1].partition("=")[0] in result.err
    assert cli("audit", "--cap", "system=1").code == 2
