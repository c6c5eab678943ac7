"""The settings: the one place that reads the environment.

`load_settings(os.environ)` gives a `Settings` or raises SettingsError with everything that is wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from headgate.core.policy import Execution
from headgate.settings.table import PUSH_PATH, Settings, SettingsError, Variable, variables

__all__ = ["PUSH_PATH", "Settings", "SettingsError", "load_settings", "load_settings_from_environment"]

CORRELATION = frozenset({"HEADGATE_RUN_ID", "HEADGATE_REQUEST_ID"})
"""What a worker gives its child processes: no settings, and no mistakes either."""
PREFIX = "HEADGATE_"
_SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "PASSWORD")

Problem = tuple[str, str]
"""The variable that is wrong, and the sentence about it."""


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of an environment; a variable that is empty counts as not set.

    Files and folders are looked for, not read. Raises SettingsError with every problem at once.
    """
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    values, problems = _read(given)
    settings = Settings(**{**_derived(values), **values})
    wrong = {name for name, _ in problems}
    problems += (problem for problem in _together(settings, given) if not wrong.intersection(problem[0].split()))
    problems += _unknown(given)
    if problems:
        raise SettingsError([sentence for _, sentence in problems])
    return settings


def load_settings_from_environment(overrides: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; `overrides` (variable → value, "" = as if not set) stand before its environment.

    Raises SettingsError with every problem at once.
    """
    return load_settings({**os.environ, **(overrides or {})})


def _read(given: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for attribute, variable in variables():
        raw = given.get(variable.name)
        if raw is None:
            continue
        try:
            values[attribute] = variable.reader.read(raw)
        except ValueError as error:
            reason = f"{error}; give" if str(error) else "give"
            problems.append(
                (variable.name, f"{variable.name}={_shown(variable, raw)}: {reason} {variable.reader.says}")
            )
    return values, problems


def _shown(variable: Variable, raw: str) -> str:
    return "***" if variable.secret else json.dumps(raw, ensure_ascii=False)


def _derived(values: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults that follow from other settings."""
    host, port = values.get("host", "127.0.0.1"), values.get("port", 8080)
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return {
        "push_endpoint": f"http://{reachable}:{port}{PUSH_PATH}",
        "sweep_seconds": 60.0 if values.get("delivery") == "pubsub" else 5.0,
    }


# --- what does not go together; a problem names (with spaces) every variable that has a part in it


def _together(settings: Settings, given: Mapping[str, str]) -> Iterator[Problem]:
    yield from _push(settings)
    yield from _project(settings, given)
    yield from _timing(settings)
    if settings.local_repos and settings.delivery != "embedded":
        raw = given["HEADGATE_LOCAL_REPOS"]
        remedy = "local repositories are for HEADGATE_DELIVERY=embedded only; take one of the two away"
        yield "HEADGATE_LOCAL_REPOS HEADGATE_DELIVERY", f"HEADGATE_LOCAL_REPOS={json.dumps(raw)}: {remedy}"


def _push(settings: Settings) -> Iterator[Problem]:
    if settings.delivery == "pubsub" and settings.push_auth is None:
        remedy = "HEADGATE_DELIVERY=pubsub needs it; give oidc (or none, towards the emulator)"
        yield "HEADGATE_PUSH_AUTH", f"HEADGATE_PUSH_AUTH is not set: {remedy}"
    if settings.push_auth == "none" and settings.pubsub_emulator is None:
        remedy = "none is accepted only while PUBSUB_EMULATOR_HOST is set; give oidc"
        yield "HEADGATE_PUSH_AUTH PUBSUB_EMULATOR_HOST", f'HEADGATE_PUSH_AUTH="none": {remedy}'
    if settings.push_auth == "oidc":
        if settings.push_audience is None:
            remedy = "HEADGATE_PUSH_AUTH=oidc needs it; give the audience of the push subscription"
            yield "HEADGATE_PUSH_AUDIENCE", f"HEADGATE_PUSH_AUDIENCE is not set: {remedy}"
        if settings.push_service_account is None:
            remedy = "HEADGATE_PUSH_AUTH=oidc needs it; give the e-mail of the account that signs the pushes"
            yield "HEADGATE_PUSH_SERVICE_ACCOUNT", f"HEADGATE_PUSH_SERVICE_ACCOUNT is not set: {remedy}"


def _project(settings: Settings, given: Mapping[str, str]) -> Iterator[Problem]:
    firestore = settings.store == "firestore" and settings.firestore_emulator is None
    pubsub = settings.delivery == "pubsub" and settings.pubsub_emulator is None
    if "GOOGLE_CLOUD_PROJECT" in given or not (firestore or pubsub):
        return
    services = " and ".join(name for name, used in (("Firestore", firestore), ("Pub/Sub", pubsub)) if used)
    emulators = " FIRESTORE_EMULATOR_HOST" * firestore + " PUBSUB_EMULATOR_HOST" * pubsub
    remedy = f"it is needed for {services} without an emulator; give the project's id"
    yield f"GOOGLE_CLOUD_PROJECT{emulators}", f"GOOGLE_CLOUD_PROJECT is not set: {remedy}"


def _timing(settings: Settings) -> Iterator[Problem]:
    """Lease and heartbeat, as far as the environment alone decides them; `Settings.execution` sees the policy too."""
    if settings.policy is not None and None in (settings.lease_seconds, settings.heartbeat_seconds):
        return
    try:
        settings.execution(Execution())
    except SettingsError as error:
        yield "HEADGATE_LEASE_SECONDS HEADGATE_HEARTBEAT_SECONDS HEADGATE_POLICY", str(error)


# --- what nobody knows


def _unknown(given: Mapping[str, str]) -> Iterator[Problem]:
    known = {variable.name for _, variable in variables()}
    for name in sorted(given.keys() - known - CORRELATION):
        if name.startswith(PREFIX):
            near = get_close_matches(
                name.removeprefix(PREFIX), [word.removeprefix(PREFIX) for word in sorted(known)], n=1
            )
            hint = f"did you mean {PREFIX}{near[0]}?" if near else "take it away"
            masked = any(word in name.upper() for word in _SECRET_WORDS)
            value = "***" if masked else json.dumps(given[name], ensure_ascii=False)
            yield name, f"{name}={value}: there is no such setting; {hint}"
