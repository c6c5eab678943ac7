"""From a submission to a run: defaults of the plan, owner of the repository, deadlines; and equality of bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.lane import lane_id
from headgate.core.policy import Execution, OnLimit, Plan, Policy, RunLimits
from headgate.core.run import Run, RunState
from headgate.core.scopes import Affiliation
from headgate.core.submission import AskedLimits, Submission, body_hash, run_of
from tests.support.laws import quick
from tests.support.values import NOW

POLICY = Policy()
DAY = 24 * 3600 * 1000


def described(plan: Plan | None = None, policy: Policy = POLICY, **asked: Any) -> Run:
    return run_of(Submission(kind="git", **asked), "run_1", "acme", plan or policy.plan("pro"), policy, NOW)


def test_what_is_not_asked_comes_from_the_plan_and_the_policy() -> None:
    run = described()
    assert (run.id, run.tenant, run.kind, run.state) == ("run_1", "acme", "git", RunState.QUEUED)
    assert (run.created_at, run.queued_at, run.start_by) == (NOW, NOW, NOW + DAY)
    assert (run.priority, run.limits, run.max_attempts, run.lease_seconds) == (5, RunLimits(), 3, 30.0)
    assert (run.user, run.org, run.repo, run.not_before, run.delayed) == (None, None, None, None, False)
    assert (run.fence, run.attempt, run.events, run.input) == (0, 1, (), "{}")


@pytest.mark.parametrize(
    ("plan", "asked", "priority"),
    [("free", None, 5), ("enterprise", None, 8), ("enterprise", 2, 2), ("enterprise", 0, 0), ("free", 9, 9)],
)
def test_priority(plan: str, asked: int | None, priority: int) -> None:
    """Above the ceiling it is not cut: admission refuses it."""
    assert described(POLICY.plan(plan), priority=asked).priority == priority


@pytest.mark.parametrize(
    ("repo", "org"), [("acme/web", "acme"), ("a.b-c/x", "a.b-c"), (None, None), ("alone", "alone")]
)
def test_the_organisation_is_the_repositorys_owner(repo: str | None, org: str | None) -> None:
    run = described(repo=repo, user="ada")
    assert (run.repo, run.org, run.user) == (repo, org, "ada")
    assert run.lane == lane_id("acme", Affiliation("ada", org, repo), "git")


def test_each_limit_defaults_by_itself() -> None:
    assert described(limits=AskedLimits(cpu_cores=0.5)).limits == RunLimits(cpu_cores=0.5)
    assert described(limits=AskedLimits(memory_bytes=1, duration_seconds=2.0)).limits == RunLimits(
        memory_bytes=1, duration_seconds=2.0
    )


@pytest.mark.parametrize(
    ("asked", "delayed", "start_by"),
    [
        pytest.param({}, False, NOW + DAY, id="a day from now"),
        pytest.param({"not_before": NOW + 5_000}, True, NOW + 5_000 + DAY, id="a day from its moment"),
        pytest.param({"not_before": NOW}, False, NOW + DAY, id="its moment is now"),
        pytest.param({"not_before": NOW - 9}, False, NOW + DAY, id="its moment has passed"),
        pytest.param({"start_by": NOW + 7}, False, NOW + 7, id="as asked"),
        pytest.param({"start_by": 0}, False, 0, id="as asked, however absurd: the flow refuses the past"),
    ],
)
def test_moments(asked: dict, delayed: bool, start_by: int) -> None:
    run = described(**asked)
    assert (run.delayed, run.start_by) == (delayed, start_by)


def test_the_policys_execution_travels_with_the_run() -> None:
    policy = Policy(execution=Execution(lease_seconds=5.0, max_attempts=7, start_deadline_seconds=60.0))
    run = described(policy=policy)
    assert (run.lease_seconds, run.max_attempts, run.start_by) == (5.0, 7, NOW + 60_000)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
inputs = st.dictionaries(st.text(), json_values, max_size=3)


@quick
@given(inputs)
def test_the_input_survives_as_json_text(given_input: dict[str, object]) -> None:
    assert json.loads(described(input=given_input).input) == given_input


def test_what_is_no_json_is_an_error_not_a_run() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        described(input={"x": float("nan")})


# --- equality of bodies

FULL: dict[str, Any] = {
    "kind": "git", "input": {"a": 1, "b": [1, 2]}, "repo": "acme/web", "user": "ada", "priority": 5,
    "labels": {"x": "1", "y": "2"}, "limits": AskedLimits(cpu_cores=1.0), "on_limit": OnLimit.QUEUE,
    "not_before": NOW, "start_by": NOW + 1, "concurrency_key": "k",
}  # fmt: skip
OTHER: dict[str, Any] = {
    "kind": "command", "input": {"a": 1, "b": [2, 1]}, "repo": "acme/api", "user": None, "priority": None,
    "labels": {"x": "1"}, "limits": AskedLimits(), "on_limit": OnLimit.SKIP,
    "not_before": None, "start_by": NOW, "concurrency_key": "K",
}  # fmt: skip


def test_every_field_of_a_submission_counts() -> None:
    assert FULL.keys() == OTHER.keys() == Submission.__dataclass_fields__.keys()
    hashes = [body_hash(Submission(**FULL | {name: OTHER[name]})) for name in FULL]
    assert len({body_hash(Submission(**FULL)), *hashes}) == len(FULL) + 1


def test_the_order_of_keys_does_not_count() -> None:
    turned = FULL | {"input": {"b": [1, 2], "a": 1}, "labels": {"y": "2", "x": "1"}}
    assert body_hash(Submission(**turned)) == body_hash(Submission(**FULL))


@quick
@given(inputs, inputs)
def test_bodies_hash_alike_exactly_when_they_are_the_same_json(one: dict, two: dict) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (body_hash(Submission(kind="git", input=one)) == body_hash(Submission(kind="git", input=two))) is same
    assert body_hash(Submission(kind="git", input=one)) == body_hash(
        Submission(kind="git", input=json.loads(json.dumps(one)))
    )
