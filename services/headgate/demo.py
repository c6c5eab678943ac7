"""The demo: keys of the demo tenants in demo.json, and what a newcomer reads when the server is up."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

from headgate.flow import setup
from headgate.settings import Settings
from headgate.wiring import System


def write_demo(system: System) -> bool:
    """demo.json with this server's address and the demo keys, made once: again only for a store that does not know them.

    True when they were made now. If we die before it is written, the next start makes new keys.
    """
    if not _is_local(system.settings):
        return False
    path, url = demo_path(system.settings), server_url(system.settings)
    demo = json.loads(path.read_text("utf-8")) if path.exists() else {}
    new = not demo or not setup.knows_key(system.deps, demo["operator"]["apiKey"])
    if new:
        demo = setup.create_demo(system.deps)
    elif demo["url"] == url:
        return False
    temporary = path.with_suffix(".tmp")
    with open(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump({**demo, "url": url}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return new


def _is_local(settings: Settings) -> bool:
    """Whether the store is this machine's own: keys that lie in a file are never made for a shared one."""
    return settings.store == "sqlite" or settings.firestore_emulator is not None


def demo_path(settings: Settings) -> Path:
    """Where the demo keys are."""
    return settings.data / "demo.json"


def server_url(settings: Settings) -> str:
    """How this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def greeting(settings: Settings, first: bool) -> str:
    """What to try next; the curl works when pasted. Keys are shown at the first start only, later ones read the file."""
    up = f"headgate is up on {server_url(settings)} (store: {settings.store}, delivery: {settings.delivery})"
    path = demo_path(settings).resolve()
    if not path.exists():
        return up
    demo = json.loads(path.read_text("utf-8"))
    key = demo["tenants"]["pro-demo"]["apiKey"]
    if not first:
        read = f'import json; print(json.load(open({str(path)!r}))["tenants"]["pro-demo"]["apiKey"])'
        key = f"$(python3 -c {shlex.quote(read)})"
    keys = "".join(f"\n  {name:16} {tenant['apiKey']}" for name, tenant in demo["tenants"].items()) if first else ""
    operator = f"\n  {'operator':16} {demo['operator']['apiKey']}" if first else ""
    return f"""
{up}

Submit a run:

  curl -sS {server_url(settings)}/tenants/pro-demo/runs \\
    -H "Authorization: Bearer {key}" \\
    -d '{{"kind": "command", "input": {{"command": "echo", "args": ["hello"]}}}}'

Watch it:      {_command()} runs --tenant pro-demo
Demo keys:     {path}{keys}{operator}
Stop:          Ctrl-C
"""


def _command() -> str:
    """How this command was called, as one can call it again from here."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "headgate" and called.exists() else "headgate"
