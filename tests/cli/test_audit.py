"""headgate audit: the report as it is told, and how it ends."""

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
