"""`policy show` prints the whole policy in force, and what it prints is a policy file."""

import pytest

from headgate.core.policy import Policy
from headgate.policy_file import load_policy, policy_as_data


def test_the_defaults(cli):
    result = cli("policy", "show")
    assert (result.code, result.err) == (0, "")
    assert load_policy(result.out, "printed") == load_policy("", "empty")
    assert cli("--json", "policy", "show").document == policy_as_data(Policy())


def test_a_file(cli, tmp_path, monkeypatch):
    (tmp_path / "policy.yaml").write_text("plans: {pro: {concurrent: 8}}\n")
    assert cli("policy", "show", "--policy", "policy.yaml", "--json").document["plans"]["pro"]["concurrent"] == 8
    monkeypatch.setenv("HEADGATE_POLICY", "policy.yaml")
    assert cli("policy", "show", "--json").document["plans"]["pro"]["concurrent"] == 8


def test_the_environment_counts_too(cli, monkeypatch):
    monkeypatch.setenv("HEADGATE_LEASE_SECONDS", "45")
    assert cli("policy", "show", "--json").document["execution"]["leaseSeconds"] == 45


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"limits:\n  sytem: 3\n", ("policy.yaml", "2", "sytem")),
        (b"limits: {system: many}\n", ("limits.system", "many", "give")),
        (b"\xff\xfe", ("policy.yaml", "UTF-8")),
    ],
)
def test_a_wrong_file(cli, tmp_path, content, words):
    (tmp_path / "policy.yaml").write_bytes(content)
    result = cli("policy", "show", "--policy", "policy.yaml")
    assert (result.code, result.out) == (2, "")
    assert all(word in result.err for word in words), result.err
