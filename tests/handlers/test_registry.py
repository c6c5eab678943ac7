"""Plug-ins are found by their entry points; a broken one is told by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headgate.handlers.command import CommandHandler
from headgate.handlers.git import GitHandler
from headgate.handlers.interface import HandlerConfig
from headgate.handlers.registry import PluginError, load_handlers

GOOD = """
class Report:
    kind = "report"
    def __init__(self, config): self.config = config
    def check(self, input): pass
    def run(self, job): pass
class Bad(Report): kind = "Bad Kind"
class NoKind(Report): kind = None
class NoRun(Report):
    kind, run = "no-run", None
class Breaks(Report):
    def __init__(self, config): raise KeyError("REPORT_TOKEN")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch):
    """Puts distributions with entry points on the path, as an installation does. Ours is hidden meanwhile."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(p for p in sys.path if "site-packages" not in p)])
    (tmp_path / "acme_plugin.py").write_text(GOOD)

    def install(package: str, *points: str) -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text("[headgate.handlers]\n" + "\n".join(points) + "\n")

    yield install
    sys.modules.pop("acme_plugin", None)


def test_a_plugin_stands_beside_the_built_in_kinds(install):
    install("headgate", "command = headgate.handlers.command:CommandHandler", "git = headgate.handlers.git:GitHandler")
    install("acme-reports", "report = acme_plugin:Report")
    config = HandlerConfig()
    handlers = load_handlers(config)
    assert set(handlers) == {"command", "git", "report"}
    assert isinstance(handlers["command"], CommandHandler)
    assert isinstance(handlers["git"], GitHandler)
    assert handlers["report"].config is config  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        ("report = no_such_module:Report", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("report = acme_plugin:Missing", "AttributeError"),
        ("report = acme_plugin:Breaks", "KeyError: 'REPORT_TOKEN'"),
        ("report = acme_plugin:Bad", "has the kind 'Bad Kind': set `kind`"),
        ("report = acme_plugin:NoKind", "has the kind None"),
        ("report = acme_plugin:NoRun", "has no method `run`"),
    ],
)
def test_a_broken_plugin_is_named(install, point, problem):
    install("acme-reports", point)
    with pytest.raises(PluginError) as broken:
        load_handlers(HandlerConfig())
    assert problem in str(broken.value)
    assert "the handler 'report'" in str(broken.value)
    assert "package acme-reports" in str(broken.value)


def test_two_of_a_kind(install):
    install("acme-reports", "report = acme_plugin:Report")
    install("other-reports", "other = acme_plugin:Report")
    with pytest.raises(PluginError, match="'report' is offered twice") as broken:
        load_handlers(HandlerConfig())
    assert "acme-reports" in str(broken.value)
    assert "other-reports" in str(broken.value)
    assert "uninstall" in str(broken.value)
