"""A policy, written down in its own key names and read again, is the same policy."""

from dataclasses import replace

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.policy import (
    PLANS,
    PRESSURE_RULES,
    Execution,
    GitHubPolicy,
    LineBounds,
    OnLimit,
    Plan,
    Policy,
    PressurePolicy,
    Retention,
    RunLimits,
)
from headgate.core.repositories import MOST as MOST_REPOSITORIES
from headgate.policy_file import load_policy, policy_as_data
from headgate.policy_file.keys import HOUSE, NAMES, Key

counts = st.integers(0, 10**9)
some = st.integers(1, 10**9)
caps = st.none() | counts
seconds = st.floats(1e-6, 10**8)
days = st.integers(1, 3650)
words = st.sampled_from(["runner", "a", "on", "null", "x-1_2", "y", "no", "concurrent"])
names = st.sampled_from(["acme", "1", "1.5", "-", "null", "Yes", "_", "a.b", "1_000", "0x10", "default"])
rising = st.tuples(seconds, st.floats(2.1, 10)).map(lambda pair: (pair[0] / 10, pair[0] / 10 * pair[1]))
run_limits = st.builds(
    RunLimits, memory_bytes=st.integers(1, 1024**5), duration_seconds=seconds, cpu_cores=st.floats(1e-3, 1024)
)


@st.composite
def plans(draw: st.DrawFn, name: str) -> Plan:
    default, ceiling = sorted(draw(st.tuples(st.integers(0, 9), st.integers(0, 9))))
    return Plan(
        name=name,
        concurrent=draw(counts),
        monthly_runs=draw(caps),
        repositories=draw(st.none() | st.integers(0, MOST_REPOSITORIES)),
        members=draw(caps),
        priority_ceiling=ceiling,
        default_priority=default,
        weight=draw(st.floats(1e-6, 10**6)),
        run_limits=draw(run_limits),
    )


@st.composite
def executions(draw: st.DrawFn) -> Execution:
    (heartbeat, lease), (least, most) = draw(rising), draw(rising)
    return Execution(
        lease_seconds=lease,
        heartbeat_seconds=heartbeat,
        max_attempts=draw(st.integers(1, 100)),
        max_publishes=draw(st.integers(1, 30)),
        backoff_min_seconds=least,
        backoff_max_seconds=most,
        start_deadline_seconds=draw(seconds),
        input_grace_seconds=draw(seconds),
        publish_grace_seconds=draw(seconds),
        expected_seconds=draw(seconds),
        log_bytes=draw(st.integers(1, 1024**5)),
    )


@st.composite
def pressures(draw: st.DrawFn) -> PressurePolicy:
    minimum, window = sorted(draw(st.tuples(some, some)))
    return PressurePolicy(
        queue_depth=draw(counts),
        fleet_percent=draw(st.floats(1e-6, 100)),
        error_rate=draw(st.floats(0, 1)),
        error_window=window,
        error_minimum=minimum,
        shed_below=draw(st.integers(0, 10)),
        dry_run=frozenset(draw(st.sets(st.sampled_from(PRESSURE_RULES)))),
        clear_share=draw(st.floats(0, 1)),
        slow_per_second=draw(st.floats(1e-6, 1_000)),
        ramp_double_seconds=draw(seconds),
        ramp_seconds=draw(st.integers(0, 86_400)),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    default = Policy()
    refresh, token = draw(rising)
    rate = GitHubPolicy(
        calls_per_minute=draw(some),
        tokens_per_repository_per_hour=draw(some),
        token_seconds=token,
        refresh_seconds=refresh,
    )
    return Policy(
        plans={name: draw(plans(name)) for name in (*PLANS, *draw(st.sets(words, max_size=2)))},
        system=draw(caps),
        user=draw(caps),
        repo=draw(caps),
        org=draw(caps),
        kinds={**default.kinds, **draw(st.dictionaries(words, caps, max_size=3))},
        repo_overrides=draw(st.dictionaries(st.tuples(names, names).map("/".join), counts, max_size=3)),
        org_overrides=draw(st.dictionaries(names, counts, max_size=3)),
        when_full={scope: draw(st.sampled_from((OnLimit.REJECT, OnLimit.QUEUE))) for scope in default.when_full},
        line=draw(st.builds(LineBounds, total=counts, per_tenant=counts, per_user=counts)),
        ageing_seconds=draw(seconds),
        requests_per_second=draw(st.floats(1e-6, 10**6)),
        request_burst=draw(some),
        retry_after_full=draw(st.integers(1, 86_400)),
        retry_after_paused=draw(st.integers(1, 86_400)),
        execution=draw(executions()),
        retention=draw(
            st.builds(Retention, runs=days, events=days, receipts=days, idempotency_keys=days, dead_letters=days)
        ),
        github=rate,
        pressure=draw(pressures()),
        provider_calls=draw(some),
    )


@settings(deadline=None)
@given(policies())
def test_written_and_read_again_it_is_the_same(policy: Policy):
    text = yaml.safe_dump(policy_as_data(policy), sort_keys=False)
    loaded = load_policy(text, "policy.yaml")
    assert replace(loaded, version=policy.version) == policy
    again = load_policy(yaml.safe_dump(policy_as_data(loaded)), "policy.yaml")
    assert again == loaded, "also its version, in whatever order the keys stand"


def test_every_value_of_a_policy_has_its_key_and_every_key_its_value():
    data = policy_as_data(Policy())
    for_all_plans = {"runLimits", "defaultPriority"}
    known = {_generic(path) for path in _leaves(data)}
    keys = {key.path for key in HOUSE if key.path[0] not in for_all_plans and not _is_override(key)}
    assert keys == known


def _leaves(data: dict, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, value in data.items():
        path = (*above, name)
        found.extend(_leaves(value, path) if isinstance(value, dict) else [path])
    return found


def _generic(path: tuple[str, ...]) -> tuple[str, ...]:
    placeholder = {("plans",): "{plan}", ("limits", "kinds"): "{kind}"}
    return tuple(placeholder.get(path[:at], part) for at, part in enumerate(path))


def _is_override(key: Key) -> bool:
    return key.path[-1] in NAMES and key.path[:2] in {("limits", "repos"), ("limits", "orgs")}
