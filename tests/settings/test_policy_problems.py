"""A wrong policy file: every problem is named with its line, key, value and remedy."""

import pytest

from headgate.policy_file import PolicyError, load_policy


def problems(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_policy(text, "policy.yaml")
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


A_COUNT = "give a whole number from 0 to 1,000,000,000"
A_CAP = f"{A_COUNT}, or null for no limit"
A_SIZE = "give bytes above 0, or a size as 512MB (up to 1024TB)"
A_DURATION = "give seconds above 0, or a duration as 300s, 5m or 24h (up to 3650d)"
NO_KEY = "there is no such key"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("limits: {usr: 3}", f"1: limits.usr = 3: {NO_KEY}; did you mean limits.user?"),
        ("\n\nlimts: {user: 3}", f"3: limts = {{…}}: {NO_KEY}; did you mean limits?"),
        (
            "max_active_jobs: 3",
            f"1: max_active_jobs = 3: {NO_KEY} here; did you mean concurrency.per_user.max_active_jobs?",
        ),
        ("line: {zz: 1}", f"1: line.zz = 1: {NO_KEY}; the keys here are total, perTenant, perUser"),
        ("limits: {user: three}", f"1: limits.user = three: {A_CAP}"),
        ('limits: {user: "3"}', f'1: limits.user = "3": {A_CAP}'),
        ("limits: {user: -1}", f"1: limits.user = -1: {A_CAP}"),
        ("limits: {user: 1.5}", f"1: limits.user = 1.5: {A_CAP}"),
        ("limits: {user: true}", f"1: limits.user = true: {A_CAP}"),
        ("limits: {user: !!int x}", f"1: limits.user = x: {A_CAP}"),
        ("limits: {user: 99999999999}", f"1: limits.user = 99999999999: {A_CAP}"),
        ("limits: {user: [3]}", f"1: limits.user = […]: {A_CAP}"),
        ("limits: {repos: {a/b: null}}", f"1: limits.repos.a/b = null: {A_COUNT}"),
        ("limits: {repos: {a: 1}}", "1: limits.repos.a = 1: the key is wrong; give a repository as owner/name"),
        (
            "limits: {kinds: {Git: 1}}",
            "1: limits.kinds.Git = 1: the key is wrong; give a kind's name: small letters, digits, - and _",
        ),
        ("line: 5", "1: line = 5: give keys below it: total, perTenant, perUser"),
        ("ageingSeconds: .inf", f"1: ageingSeconds = .inf: {A_DURATION}"),
        ("ageingSeconds: 5 fortnights", f"1: ageingSeconds = 5 fortnights: {A_DURATION}"),
        ("runLimits: {memory: 0}", f"1: runLimits.memory = 0: {A_SIZE}"),
        ("runLimits: {memory: 1.5}", f"1: runLimits.memory = 1.5: {A_SIZE}"),
        ("runLimits: {memory: 512 XB}", f"1: runLimits.memory = 512 XB: {A_SIZE}"),
        ("maxErrorRate: 5", "1: maxErrorRate = 5: give a number from 0 to 1"),
        ("whenFull: {user: skip}", "1: whenFull.user = skip: give one of reject, queue"),
        ("pressure: {dryRun: {github: maybe}}", "1: pressure.dryRun.github = maybe: give true or false"),
        ("line:\n  total: 1\n  total: 2", "3: line.total = 2: it is given twice, first on line 2; keep one"),
        (
            "limits: {user: 3}\nMAX_JOBS_PER_USER: 4",
            "2: MAX_JOBS_PER_USER = 4: it sets the same as limits.user on line 1; keep one",
        ),
        (
            "plans:\n  team: {concurrent: 3, members: 1}",
            "2: plans.team = {…}: a new plan needs these keys too: monthlyRuns, repositories, priorityCeiling",
        ),
        (
            "plans: {free: {defaultPriority: 6}}",
            "1: plans.free.defaultPriority = 6: a default is at most the ceiling, "
            "and plans.free.priorityCeiling is 5; change one of them",
        ),
        (
            "execution: {leaseSeconds: 20}",
            "1: execution.leaseSeconds = 20: a lease outlasts two heartbeats, "
            "and execution.heartbeatSeconds is 10; change one of them",
        ),
        (
            "execution: {backoffMinSeconds: 2m}",
            "1: execution.backoffMinSeconds = 2m: the shortest wait is at most the longest, "
            "and execution.backoffMaxSeconds is 60; change one of them",
        ),
        (
            "github: {tokenSeconds: 45m}",
            "1: github.tokenSeconds = 45m: a token is renewed before it ends, "
            "and github.refreshSeconds is 2700; change one of them",
        ),
        ("- 1", "1: the file = […]: give keys and values, as `line:`"),
        (
            "a: 1\nb: [",
            "2: this is not YAML: expected the node content, but found '<stream end>'; mend it here or above",
        ),
        ("a: 1\nb: \x00", "2: this is not YAML: special characters are not allowed; take the character out"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_remedy(text, sentence):
    assert problems(text) == [f"policy.yaml:{sentence}"]


def test_all_problems_at_once_in_the_order_of_the_lines():
    found = problems("zzzz: 1\nexecution: {leaseSeconds: 5}\nlimits:\n  usr: 1\n  repo: x\nline: {total: -1}\n")
    assert [int(sentence.split(":")[1]) for sentence in found] == [1, 2, 4, 5, 6]


def test_a_wrong_value_causes_no_second_complaint():
    assert len(problems("execution: {leaseSeconds: long, heartbeatSeconds: 20}")) == 1


def test_a_long_value_is_cut():
    (sentence,) = problems(f"ageingSeconds: {'x' * 500}")
    assert len(sentence) < 200


def test_a_mapping_that_contains_itself_ends():
    assert len(problems("plans: &a\n  b: *a\n")) > 0
