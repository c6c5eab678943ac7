"""One invocation of the CLI: the options that every command knows, and the client they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from headgate import sources
from headgate.cli.client import Client
from headgate.cli.connection import connection
from headgate.cli.values import read_since
from headgate.settings import Settings, load_settings_from_environment

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """What the options said. `settings` and `client` raise SettingsError and Failure."""

    as_json: bool = False
    url: str | None = None
    api_key: str | None = None
    data: str | None = None
    tenant: str | None = None

    def settings(self, **overrides: str | None) -> Settings:
        """The settings, an option before its variable; `overrides` are further variables, None = not said."""
        said = {"HEADGATE_URL": self.url, "HEADGATE_API_KEY": self.api_key, "HEADGATE_DATA": self.data, **overrides}
        return load_settings_from_environment({name: value for name, value in said.items() if value is not None})

    @contextmanager
    def client(self, as_operator: bool = False) -> Iterator[Client]:
        """The client of the server in question, as its tenant or as its operator."""
        with Client(connection(self.settings(), self.tenant, as_operator)) as client:
            yield client

    @property
    def timing(self) -> sources.SystemTiming:
        """The machine's clock."""
        return sources.SystemTiming()


def current() -> Session:
    """The session of the command that is running."""
    return click.get_current_context().find_root().ensure_object(Session)


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """An option that every level knows: the innermost that says something wins."""
    if value and parameter.name:
        setattr(context.find_root().ensure_object(Session), parameter.name, value)


def _kept(*names: str, **more: Any) -> Callable[[F], F]:
    return click.option(*names, callback=_keep, expose_value=False, **more)


def data_option(command: F) -> F:
    """--data."""
    return _kept("--data", metavar="DIR", help="Data folder of the server on this machine (HEADGATE_DATA; .headgate).")(
        command
    )


def json_option(command: F) -> F:
    """--json."""
    return _kept("--json", "as_json", is_flag=True, help="JSON for scripts instead of tables for people.")(command)


def server_options(command: F) -> F:
    """--json, --url, --api-key, --data."""
    command = data_option(command)
    command = _kept("--api-key", metavar="KEY", help="Key of the caller (HEADGATE_API_KEY; else of demo.json).")(
        command
    )
    command = _kept("--url", metavar="URL", help="Server to talk to (HEADGATE_URL; else of demo.json).")(command)
    return json_option(command)


def tenant_option(command: F) -> F:
    """--tenant, and all of server_options."""
    says = "Tenant in question (pro-demo with demo.json; else the one that the key belongs to)."
    return _kept("--tenant", metavar="TENANT", help=says)(server_options(command))


def since_option(default: str | None = None) -> Callable[[F], F]:
    """--since, as a time, read against the clock of this machine."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
        return None if text is None else read_since(text, current().timing.wall_ms())

    says = "From when on: 24h ago, or a time as 2030-01-31T08:00:00Z."
    return click.option(
        "--since", default=default, show_default=bool(default), metavar="TIME", callback=read, help=says
    )
