"""Reason tokens: each for its fact, in the order of the list; words for all of them."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.core.reasons import Facts, Reason, blocking, foreseeable, full_scopes, reasons, words
from tests.support.values import a_gate, a_run, a_tenant, holders

RUN = a_run(repo="acme/web", user="ada", kind="git")
LINE = a_run(repo="acme/web", kind="git", delayed=True)


def facts(**more: Any) -> Facts:
    return Facts(**{"run": RUN, "tenant": a_tenant(), **more})


@pytest.mark.parametrize(
    ("more", "token"),
    [
        ({"tenant": a_tenant(gates={"tenant": a_gate()})}, "TENANT_PAUSED"),
        ({"tenant": a_tenant(status="suspended")}, "TENANT_SUSPENDED"),
        ({"tenant": a_tenant(status="deactivated")}, "TENANT_SUSPENDED"),
        ({"tenant": a_tenant(gates={"user:ada": a_gate()})}, "SCOPE_PAUSED:user:acme/ada"),
        ({"closed": {"git"}}, "SCOPE_PAUSED:kind:git"),
        ({"mode": "draining"}, "SYSTEM_DRAINING"),
        ({"mode": "maintenance"}, "SYSTEM_MAINTENANCE"),
        ({"held_back": frozenset({"PRESSURE_SLOW"})}, "PRESSURE_SLOW"),
        ({"tenant": a_tenant(holders=holders(5))}, "SCOPE_FULL:tenant"),
        ({"tenant": a_tenant(holders=holders(2, "repo:acme/web"))}, "SCOPE_FULL:repo"),
        ({"full": {"kind:git"}}, "SCOPE_FULL:kind"),
        ({"full": {"system"}}, "SCOPE_FULL:system"),
        ({"run": LINE}, "NOT_BEFORE"),
        ({"run": a_run(delayed=True, waiting="input")}, "INPUT"),
        ({"held_back": frozenset({"HOST_MEMORY"})}, "HOST_MEMORY"),
        ({"held_back": frozenset({"GITHUB_THROTTLED"})}, "GITHUB_THROTTLED"),
        ({"outranked": True}, "BEHIND_FAIR_SHARE"),
        ({"ahead_by_priority": 1}, "BEHIND_PRIORITY"),
        ({}, "NEXT"),
        ({"closed": {"command"}, "full": {"kind:command"}}, "NEXT"),  # of another kind
        ({"tenant": a_tenant(gates={"user:bob": a_gate()})}, "NEXT"),  # of another user
    ],
)
def test_each_token_has_its_fact(more: dict[str, Any], token: str) -> None:
    assert reasons(facts(**more)) == (token,)


def test_all_at_once_in_the_order_of_the_list() -> None:
    tenant = a_tenant(
        status="suspended",
        gates={"tenant": a_gate(), "user:ada": a_gate(), "repo:acme/web": a_gate()},
        holders=holders(5, "repo:acme/web", "user:ada"),
    )
    found = reasons(
        facts(
            run=a_run(repo="acme/web", user="ada", kind="git", delayed=True),
            tenant=tenant,
            mode="maintenance",
            closed={"git"},
            full={"kind:git", "system"},
            held_back=frozenset({"HOST_MEMORY", "PRESSURE_SLOW", "GITHUB_THROTTLED"}),
            outranked=True,
            ahead_by_priority=3,
        )
    )

    assert found == (
        "TENANT_PAUSED", "TENANT_SUSPENDED", "SCOPE_PAUSED:user:acme/ada", "SCOPE_PAUSED:repo:acme/acme/web",
        "SCOPE_PAUSED:kind:git", "SYSTEM_MAINTENANCE", "PRESSURE_SLOW", "SCOPE_FULL:tenant", "SCOPE_FULL:user",
        "SCOPE_FULL:repo", "SCOPE_FULL:kind", "SCOPE_FULL:system", "NOT_BEFORE", "HOST_MEMORY", "GITHUB_THROTTLED",
        "BEHIND_FAIR_SHARE", "BEHIND_PRIORITY",
    )  # fmt: skip
    order = [reason for reason in Reason for token in found if token.partition(":")[0] == reason]
    assert [token.partition(":")[0] for token in found] == order


def test_the_binding_scope_is_the_first_that_is_full() -> None:
    tenant = a_tenant(holders=holders(2, "repo:acme/web"))
    assert full_scopes(facts(tenant=tenant, full={"system"})) == ("repo:acme/web", "system")
    assert full_scopes(facts()) == ()


def test_words_name_the_scope() -> None:
    assert words("SCOPE_FULL:repo").why == "Every slot of the repository is taken."
    assert words("SCOPE_PAUSED:kind:git").unblock == "Resuming kind:git."
    assert "{" not in "".join(words(f"{reason}:x").why + words(f"{reason}:x").unblock for reason in Reason)


@pytest.mark.parametrize(
    ("tokens", "first", "estimated"),
    [
        (("NEXT",), "NEXT", True),
        (("SYSTEM_DRAINING", "SCOPE_FULL:repo"), "SCOPE_FULL:repo", True),
        (("SYSTEM_DRAINING",), "NEXT", True),
        (("TENANT_PAUSED", "SCOPE_FULL:repo"), "TENANT_PAUSED", False),
        (("SCOPE_FULL:repo", "NOT_BEFORE"), "SCOPE_FULL:repo", False),
        (("PRESSURE_SLOW", "BEHIND_PRIORITY"), "PRESSURE_SLOW", True),
    ],
)
def test_what_blocks_and_what_passes_by_itself(tokens: tuple[str, ...], first: str, estimated: bool) -> None:
    assert blocking(tokens) == first
    assert foreseeable(tokens) is estimated


def test_an_unknown_token_is_a_bug() -> None:
    with pytest.raises(ValueError, match="SOMETHING"):
        words("SOMETHING")
