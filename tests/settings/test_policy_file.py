"""The policy file: what it sets, in the house's key names and in those of the requirements."""

from dataclasses import replace

import pytest

from headgate.core.policy import OnLimit, Plan, Policy, RunLimits
from headgate.policy_file import load_policy

STORY = """\
concurrency:
  per_user:
    max_active_jobs: 3
    max_queued_jobs: 10
  system:
    max_total_jobs: 50
    max_git_operations: 5
    max_indexing_jobs: 10
  resources:
    max_memory_per_job: 512MB
    max_cpu_per_job: 2
    max_job_duration: 300s
  queue:
    max_size: 1000
    default_priority: 5
    premium_priority: 8
"""
RESOURCE_LIMITS = """\
ResourceLimits: {
    maxConcurrentGitOps: 5,
    maxConcurrentIndexing: 10,
    maxMemoryPerJob: 512MB,
    maxCPUPerJob: 2 cores,
    maxJobDuration: 5 minutes
}
MAX_JOBS_PER_USER: 3
MAX_TOTAL_JOBS: 50
"""
REPOSITORIES = """\
{
  "patient-studio/next-gen-api": 3,
  "patient-studio/frontend": 2,
  "default": 1
}
"""
RATES = """\
{
  "githubApiCallsPerMinute": 10,
  "tokensPerRepositoryPerHour": 5
}
"""
THRESHOLDS = """\
{
  "maxQueueDepth": 100,
  "maxConcurrencyPercent": 80,
  "maxErrorRate": 0.05
}
"""


def load(text: str) -> Policy:
    """Without its version, so that it compares with a Policy made by hand."""
    return replace(load_policy(text, "policy.yaml"), version="default")


# --- the requirements' examples, as they stand there


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "line:\n", STORY, RESOURCE_LIMITS, RATES, THRESHOLDS])
def test_the_numbers_of_the_requirements_are_the_defaults(text):
    assert load(text) == Policy()


def test_the_defaults_are_the_numbers_of_the_specification():
    policy = load("")
    rows = [
        (p.concurrent, p.monthly_runs, p.repositories, p.members, p.priority_ceiling, p.default_priority, p.weight)
        for p in (policy.plan("free"), policy.plan("pro"), policy.plan("enterprise"))
    ]
    assert rows == [(1, 100, 3, 3, 5, 5, 1), (5, 10_000, 50, 25, 7, 5, 1), (20, None, None, None, 9, 8, 1)]
    assert (policy.system, policy.user, policy.repo, policy.org) == (50, 3, 2, None)
    assert dict(policy.kinds) == {"git": 5, "indexing": 10}
    assert {scope: word.value for scope, word in policy.when_full.items()} == {
        "tenant": "reject",
        **dict.fromkeys(("user", "org", "repo", "kind", "system"), "queue"),
    }
    assert (policy.line.total, policy.line.per_tenant, policy.line.per_user) == (1000, 500, 10)
    assert (policy.ageing_seconds, policy.requests_per_second, policy.request_burst) == (300, 100, 500)
    assert (policy.retry_after_full, policy.retry_after_paused) == (30, 60)
    lasting = policy.execution
    assert (lasting.lease_seconds, lasting.heartbeat_seconds, lasting.max_attempts) == (30, 10, 3)
    assert (lasting.backoff_min_seconds, lasting.backoff_max_seconds) == (2, 60)
    assert (lasting.start_deadline_seconds, lasting.input_grace_seconds) == (24 * 3600, 60)
    assert (lasting.publish_grace_seconds, lasting.max_publishes) == (10, 10)
    kept = policy.retention
    assert (kept.runs, kept.events, kept.receipts, kept.idempotency_keys, kept.dead_letters) == (90, 30, 7, 1, 30)
    limits = policy.plan("pro").run_limits
    assert (limits.memory_bytes, limits.cpu_cores, limits.duration_seconds) == (512 * 1024**2, 2, 300)
    pressure = policy.pressure
    assert (pressure.queue_depth, pressure.fleet_percent, pressure.error_rate) == (100, 80, 0.05)
    assert (pressure.error_window, pressure.error_minimum, pressure.shed_below) == (100, 20, 5)
    assert (policy.github.calls_per_minute, policy.github.tokens_per_repository_per_hour) == (10, 5)
    assert (policy.github.token_seconds, policy.github.refresh_seconds) == (50 * 60, 45 * 60)
    assert policy.provider_calls == 5


def test_the_story_sets_what_it_names():
    other = """\
        concurrency:
          per_user: {max_active_jobs: 4, max_queued_jobs: 11}
          system: {max_total_jobs: 60, max_git_operations: 6, max_indexing_jobs: 12}
          resources: {max_memory_per_job: 1GB, max_cpu_per_job: 1.5, max_job_duration: 10m}
          queue: {max_size: 2000, default_priority: 6, premium_priority: 9}
    """
    policy = load(other)
    assert (policy.user, policy.line.per_user, policy.system) == (4, 11, 60)
    assert (policy.kinds["git"], policy.kinds["indexing"], policy.line.total) == (6, 12, 2000)
    run_limits = RunLimits(memory_bytes=1024**3, cpu_cores=1.5, duration_seconds=600.0)
    assert {plan.run_limits for plan in policy.plans.values()} == {run_limits}
    priorities = {name: plan.default_priority for name, plan in policy.plans.items()}
    assert priorities == {"free": 5, "pro": 6, "enterprise": 9}, "free's ceiling is 5"


@pytest.mark.parametrize("text", [REPOSITORIES, f"repositories: {REPOSITORIES}"])
def test_the_repository_map(text):
    overrides = {"patient-studio/next-gen-api": 3, "patient-studio/frontend": 2}
    assert load(text) == replace(Policy(), repo=1, repo_overrides=overrides)


def test_rates_and_thresholds():
    policy = load(
        "{githubApiCallsPerMinute: 11, tokensPerRepositoryPerHour: 6, maxQueueDepth: 200,"
        " maxConcurrencyPercent: 90, maxErrorRate: 0.1, maxConcurrentProviderCalls: 7}"
    )
    assert (policy.github.calls_per_minute, policy.github.tokens_per_repository_per_hour) == (11, 6)
    assert (policy.pressure.queue_depth, policy.pressure.fleet_percent, policy.pressure.error_rate) == (200, 90, 0.1)
    assert policy.provider_calls == 7


# --- the house's own names


def test_a_file_says_only_what_differs():
    policy = load("plans: {pro: {concurrent: 8}}\nlimits: {kinds: {git: null, runner: 9}, user: null}\n")
    assert policy.plan("pro") == replace(Policy().plan("pro"), concurrent=8)
    assert dict(policy.kinds) == {"git": None, "indexing": 10, "runner": 9}
    assert policy.user is None
    assert policy.plan("free") == Policy().plan("free")


def test_a_new_plan():
    policy = load(
        "plans:\n  team: {concurrent: 9, monthlyRuns: null, repositories: 9, members: 9, priorityCeiling: 4,"
        " weight: 2, runLimits: {memory: 2GiB}}\n"
    )
    assert policy.plan("team") == Plan(
        name="team",
        concurrent=9,
        monthly_runs=None,
        repositories=9,
        members=9,
        priority_ceiling=4,
        default_priority=4,
        weight=2.0,
        run_limits=RunLimits(memory_bytes=2 * 1024**3),
    )


def test_what_a_plan_says_comes_before_what_is_said_of_all():
    policy = load(
        "runLimits: {durationSeconds: 10m}\ndefaultPriority: 3\n"
        "plans: {pro: {defaultPriority: 6, runLimits: {durationSeconds: 1h}}}\n"
    )
    assert [plan.run_limits.duration_seconds for plan in policy.plans.values()] == [600, 3600, 600]
    assert [plan.default_priority for plan in policy.plans.values()] == [3, 6, 8]


def test_dry_run_and_when_full():
    policy = load("pressure: {dryRun: {errorRate: true, github: false}}\nwhenFull: {repo: reject, tenant: queue}")
    assert policy.pressure.dry_run == {"errorRate"}
    assert (policy.when_full["repo"], policy.when_full["tenant"]) == (OnLimit.REJECT, OnLimit.QUEUE)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("1.5", 1.5), ("300s", 300), ("5m", 300), ("5 minutes", 300), ("24h", 86_400), ("2 days", 172_800)],
)
def test_durations(written, seconds):
    assert load(f"ageingSeconds: {written}").ageing_seconds == seconds


@pytest.mark.parametrize(
    ("written", "number"),
    [("1024", 1024), ("512MB", 512 * 1024**2), ("512MiB", 512 * 1024**2), ("1.5 GB", 3 * 512 * 1024**2), ("9b", 9)],
)
def test_sizes(written, number):
    assert load(f"execution: {{logBytes: {written}}}").execution.log_bytes == number


def test_equal_policies_have_equal_versions():
    version = load_policy("", "a").version
    assert len(version) == 12
    assert load_policy("limits: {user: 3}", "b").version == version
    assert load_policy("limits: {user: 4}", "b").version != version
