"""Names of scopes, in a tenant's document and for people."""

from __future__ import annotations

import pytest

from headgate.core.scopes import Affiliation, all_scopes, full_name, kind_scope, local_scopes, scope_type
from tests.support.values import a_run

EVERYTHING = Affiliation(user="ada", org="acme", repo="acme/web")


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (Affiliation(None, None, None), ()),
        (Affiliation("ada", None, None), ("user:ada",)),
        (Affiliation(None, "acme", "acme/web"), ("org:acme", "repo:acme/web")),
        (EVERYTHING, ("user:ada", "org:acme", "repo:acme/web")),
        (Affiliation("", None, None), ("user:",)),
    ],
)
def test_local_scopes_in_the_order_in_which_they_are_checked(of: Affiliation, expected: tuple[str, ...]) -> None:
    assert local_scopes(of) == expected


@pytest.mark.parametrize(
    ("local", "full"),
    [
        ("tenant", "tenant:pro-demo"),
        ("user:ada", "user:pro-demo/ada"),
        ("user:a:b/c", "user:pro-demo/a:b/c"),
        ("org:acme", "org:pro-demo/acme"),
        ("repo:acme/web", "repo:pro-demo/acme/web"),
        ("kind:git", "kind:git"),
        ("system", "system"),
        ("line:system", "line:system"),
    ],
)
def test_full_names(local: str, full: str) -> None:
    assert full_name("pro-demo", local) == full


def test_every_scope_of_a_run() -> None:
    assert all_scopes("t", EVERYTHING, "git") == (
        "system", "tenant:t", "user:t/ada", "org:t/acme", "repo:t/acme/web", "kind:git"
    )  # fmt: skip
    assert all_scopes("t", Affiliation(None, None, None), "git") == ("system", "tenant:t", "kind:git")


def test_a_name_of_one_tenant_is_not_anothers() -> None:
    assert not set(all_scopes("a", EVERYTHING, "git")) & set(all_scopes("b", EVERYTHING, "git")) - {
        "system",
        "kind:git",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("system", "system"),
        ("kind:git", "kind"),
        ("repo:t/a/b", "repo"),
        ("line:user/t/u", "line"),
        ("user:a:b", "user"),
    ],
)
def test_type_of_a_scope(name: str, expected: str) -> None:
    assert scope_type(name) == expected
    assert kind_scope("git") == "kind:git"


def test_a_run_knows_where_it_belongs() -> None:
    run = a_run(user="ada", repo="acme/web")
    assert run.affiliation == EVERYTHING
    assert run.scopes == local_scopes(EVERYTHING)
