"""Which server the CLI talks to, and as whom: options, else the environment, else demo.json of the data folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from headgate.cli.exits import Exit, Failure
from headgate.settings import Settings

DEFAULT_TENANT = "pro-demo"
"""Whose runs a command is about when it talks through demo.json and nothing is said."""


@dataclass(frozen=True, slots=True)
class Demo:
    """demo.json: where the embedded server listens, and its keys."""

    url: str
    operator: str
    tenants: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Connection:
    """A server, a key, and the tenant the command is about; None = ask the server which one the key belongs to."""

    url: str
    key: str
    tenant: str | None


def connection(settings: Settings, tenant: str | None, as_operator: bool) -> Connection:
    """Where to and as whom. A key of demo.json goes to the server of demo.json or this machine, nowhere else.

    Raises Failure when no server (UNREACHABLE) or no key (DENIED) is known, or demo.json is not as it should be.
    """
    if settings.url and settings.api_key:
        return Connection(settings.url, settings.api_key, tenant)
    demo = read_demo(settings.data / "demo.json")
    url = settings.url or (demo.url if demo else None)
    if url is None:
        raise Failure(Exit.UNREACHABLE, "no server is known.", *_remedies(settings.data))
    if settings.api_key:
        return Connection(url, settings.api_key, tenant)
    if demo is None or not (url == demo.url or is_local(url)):
        raise Failure(Exit.DENIED, f"no key for {url} is known.", "Give --api-key, or set HEADGATE_API_KEY.")
    tenant = tenant or DEFAULT_TENANT
    key = demo.operator if as_operator else demo.tenants.get(tenant, demo.operator)
    return Connection(url, key, tenant)


def read_demo(path: Path) -> Demo | None:
    """The file, or None when there is none. Raises Failure when it cannot be read or has another shape."""
    try:
        data = json.loads(path.read_text("utf-8"))
        tenants = {name: str(entry["apiKey"]) for name, entry in data["tenants"].items()}
        return Demo(str(data["url"]).rstrip("/"), str(data["operator"]["apiKey"]), tenants)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(
            Exit.USAGE, f"{path}: {error.strerror}.", "Give --url and --api-key, or another --data."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "Remove it and start `headgate up` anew, or give --url and --api-key."
        raise Failure(Exit.USAGE, f"{path} is not a demo.json of headgate.", remedy) from error


def is_local(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _remedies(data: Path) -> tuple[str, str]:
    return (
        f"Start one with `headgate up`: it leaves its address and keys in {data / 'demo.json'} (--data, HEADGATE_DATA).",
        "Or give --url and --api-key, or set HEADGATE_URL and HEADGATE_API_KEY.",
    )
