"""What the README claims, the code knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.core.errors import Code
from headgate.core.policy import PLANS, Policy

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("code", Code)
def test_every_code_is_listed(code: Code) -> None:
    assert f"`{code}`" in README


def test_the_default_limits_are_the_policy_s() -> None:
    policy = Policy()
    plans = ", ".join(f"{plan.name} {plan.concurrent}" for plan in PLANS.values())
    assert f"| tenant | {plans} |" in README
    assert f"| user of a tenant | {policy.user} |" in README
    assert f"| repo | {policy.repo} |" in README
    assert f"| system | {policy.system} |" in README


@pytest.mark.parametrize(
    "path", ["ARCHITECTURE.md", "docs/configuration.md", "docs/cli.md", "infra/README.md", "CHANGELOG.md"]
)
def test_every_page_it_links_exists(path: str) -> None:
    assert f"({path})" in README
    assert (Path(__file__).parents[2] / path).is_file()
