"""The policy file: YAML in, `Policy` out; and a policy back as data in the file's own key names.

A file says only what differs: every key left out keeps its default. `load_policy` of what `policy_as_data` gave is an
equal policy. The keys are in keys.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from hashlib import sha256
from operator import le, lt
from types import MappingProxyType
from typing import Any, TypeVar

from headgate.core.policy import (
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
from headgate.policy_file.keys import Path
from headgate.policy_file.reader import PolicyError, Reading, read

__all__ = ["PolicyError", "load_policy", "policy_as_data"]

Data = dict[str, Any]
Values = dict[Path, object]
T = TypeVar("T")

PREMIUM = "enterprise"
"""The plan whose default priority is its own (the requirements' premium_priority)."""
_OF_A_PLAN = ("concurrent", "monthlyRuns", "repositories", "members", "priorityCeiling")
_ORDER: tuple[tuple[str, Callable[[float, float], bool], str, str], ...] = (
    ("execution.heartbeatSeconds", lambda a, b: 2 * a < b, "execution.leaseSeconds", "a lease outlasts two heartbeats"),
    ("execution.backoffMinSeconds", le, "execution.backoffMaxSeconds", "the shortest wait is at most the longest"),
    ("github.refreshSeconds", lt, "github.tokenSeconds", "a token is renewed before it ends"),
    ("pressure.errorMinimum", le, "pressure.errorWindow", "the window holds no more runs than its size"),
)
"""Two keys, what has to hold between them, and how to say it."""


def load_policy(text: str, source: str) -> Policy:
    """The policy of a YAML text; `source` is the file's name in messages.

    Its `version` is a short hash of the whole content, so equal policies have equal versions.
    Raises PolicyError with every problem at once: file, line, key, value, remedy.
    """
    reading = read(text, source)
    known = policy_as_data(Policy())
    _complete_plans(reading, known["plans"])
    data = _merged(known, {path: found.value for path, found in reading.found.items()})
    _check_order(reading, data)
    reading.check()
    return _policy(data)


def policy_as_data(policy: Policy) -> Data:
    """The whole policy, defaults and all, in the file's key names: for `headgate policy show` and for YAML."""
    return {
        "plans": {name: _plan_data(plan) for name, plan in policy.plans.items()},
        "limits": {
            "system": policy.system,
            "user": policy.user,
            "repo": policy.repo,
            "org": policy.org,
            "kinds": dict(policy.kinds),
            "repos": dict(policy.repo_overrides),
            "orgs": dict(policy.org_overrides),
        },
        "whenFull": {scope: on_limit.value for scope, on_limit in policy.when_full.items()},
        "line": _as_data(policy.line),
        "ageingSeconds": policy.ageing_seconds,
        "requests": {"perSecond": policy.requests_per_second, "burst": policy.request_burst},
        "retryAfter": {"full": policy.retry_after_full, "paused": policy.retry_after_paused},
        "execution": _as_data(policy.execution),
        "retention": _as_data(policy.retention),
        "github": _as_data(policy.github),
        "pressure": {
            **_as_data(policy.pressure),
            "dryRun": {rule: rule in policy.pressure.dry_run for rule in PRESSURE_RULES},
        },
        "discussion": {"providerCalls": policy.provider_calls},
    }


def _plan_data(plan: Plan) -> Data:
    data = _as_data(plan)
    del data["name"]
    return {**data, "runLimits": _as_data(plan.run_limits)}


def _policy(data: Data) -> Policy:
    """The inverse of `policy_as_data`, of complete data."""
    limits, requests, retry = data["limits"], data["requests"], data["retryAfter"]
    dry_run = frozenset(rule for rule, watched in data["pressure"]["dryRun"].items() if watched)
    return Policy(
        version=sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12],
        plans=MappingProxyType({name: _plan(name, plan) for name, plan in data["plans"].items()}),
        system=limits["system"],
        user=limits["user"],
        repo=limits["repo"],
        org=limits["org"],
        kinds=MappingProxyType(limits["kinds"]),
        repo_overrides=MappingProxyType(limits["repos"]),
        org_overrides=MappingProxyType(limits["orgs"]),
        when_full=MappingProxyType({scope: OnLimit(word) for scope, word in data["whenFull"].items()}),
        line=_from_data(LineBounds, data["line"]),
        ageing_seconds=data["ageingSeconds"],
        requests_per_second=requests["perSecond"],
        request_burst=requests["burst"],
        retry_after_full=retry["full"],
        retry_after_paused=retry["paused"],
        execution=_from_data(Execution, data["execution"]),
        retention=_from_data(Retention, data["retention"]),
        github=_from_data(GitHubPolicy, data["github"]),
        pressure=_from_data(PressurePolicy, {**data["pressure"], "dryRun": dry_run}),
        provider_calls=data["discussion"]["providerCalls"],
    )


def _plan(name: str, data: Data) -> Plan:
    return _from_data(Plan, {**data, "name": name, "runLimits": _from_data(RunLimits, data["runLimits"])})


def _as_data(value: Any) -> Data:
    return {_camel(f.name): getattr(value, f.name) for f in fields(value)}


def _from_data(cls: type[T], data: Data) -> T:
    known: tuple[Any, ...] = fields(cls)  # type: ignore[arg-type]
    return cls(**{f.name: data[_camel(f.name)] for f in known})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# --- what the file leaves out


def _merged(known: Data, values: Values) -> Data:
    for name in {**known["plans"], **{path[1]: {} for path in values if path[0] == "plans"}}:
        base = known["plans"].setdefault(name, _new_plan())
        _fill_plan(name, base, values)
    for path, value in values.items():
        if path[0] not in ("runLimits", "defaultPriority"):
            _put(known, path, value)
    return known


def _new_plan() -> Data:
    return _plan_data(Plan(name="", concurrent=0, monthly_runs=0, repositories=0, members=0, priority_ceiling=9))


def _fill_plan(name: str, base: Data, values: Values) -> None:
    """The keys that hold for every plan, under what the plan itself says. A default never exceeds the ceiling."""
    for path, value in values.items():
        if path[0] == "runLimits":
            base["runLimits"][path[1]] = value
    if name != PREMIUM:
        base["defaultPriority"] = values.get(("defaultPriority",), base["defaultPriority"])
    ceiling = values.get(("plans", name, "priorityCeiling"), base["priorityCeiling"])
    base["defaultPriority"] = min(base["defaultPriority"], ceiling)


def _put(data: Data, path: Path, value: object) -> None:
    for part in path[:-1]:
        data = data.setdefault(part, {})
    data[path[-1]] = value


# --- what does not go together


def _complete_plans(reading: Reading, known: Mapping[str, object]) -> None:
    """A plan of the operator's own has to say what it grants."""
    named = {path[1]: found for path, found in reversed(reading.found.items()) if path[0] == "plans"}
    for name, found in named.items():
        missing = [key for key in _OF_A_PLAN if ("plans", name, key) not in reading.found]
        if name not in known and missing:
            reading.wrong(found.line, f"plans.{name}", "{…}", f"a new plan needs these keys too: {', '.join(missing)}")


def _check_order(reading: Reading, data: Data) -> None:
    """Pairs of values of which one bounds the other; a pair with a value that is wrong already is let be."""
    for name in data["plans"]:
        plan = f"plans.{name}"
        why = "a default is at most the ceiling"
        _check_pair(reading, data, f"{plan}.defaultPriority", le, f"{plan}.priorityCeiling", why)
    for lower, holds, upper, why in _ORDER:
        _check_pair(reading, data, lower, holds, upper, why)


def _check_pair(
    reading: Reading, data: Data, lower: str, holds: Callable[[float, float], bool], upper: str, why: str
) -> None:
    low, high = tuple(lower.split(".")), tuple(upper.split("."))
    if {low, high} & reading.refused or holds(_get(data, low), _get(data, high)):
        return
    at, other = (low, high) if low in reading.found else (high, low)
    found = reading.found[at]
    remedy = f"{why}, and {'.'.join(other)} is {_get(data, other):g}; change one of them"
    reading.wrong(found.line, found.key, found.written, remedy)


def _get(data: Data, path: Path) -> float:
    for part in path[:-1]:
        data = data[part]
    return float(data[path[-1]])
