"""What the tests of the services stand on."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # published without types

from headgate import wiring
from headgate.api import build_front, create_api
from headgate.api.openapi import document
from headgate.core.access import Role
from headgate.delivery.embedded import EmbeddedDelivery
from headgate.flow import setup
from headgate.handlers.interface import Done, Failed, InvalidInput, Job
from headgate.settings import load_settings
from headgate.wiring import System

DOCUMENT = document()
TENANTS = {"acme": "pro", "small": "free", "big": "enterprise"}
ECHO = {"kind": "command", "input": {"command": "echo", "args": ["hello"]}}


class Stage:
    """A kind of the tests' own: a run logs and ends when the test says so. Its `check` has a bug to be found."""

    kind = "stage"

    def __init__(self) -> None:
        self.jobs: queue.Queue[Job] = queue.Queue()
        self.over = threading.Event()

    def check(self, input: Mapping[str, object]) -> None:
        if "bug" in input:
            raise RuntimeError("the inside of the house")
        if "wrong" in input:
            raise InvalidInput("wrong", "is not welcome: leave it out")

    def run(self, job: Job) -> Done | Failed:
        self.jobs.put(job)
        while not self.over.wait(0.01):
            if job.cancelled.is_set():
                return Failed(code="HANDLER_ERROR", message="stopped")
        return Done({"done": True})


def build_system(folder: Path, stage: Stage | None = None, **environment: str) -> System:
    """A system over SQLite in the folder, with the tenants; its keys are issued by `key_of`."""
    values = {"HEADGATE_DATA": str(folder / "data"), "HEADGATE_SQLITE_SYNC": "normal", "HEADGATE_LOG_LEVEL": "ERROR"}
    system = wiring.build(load_settings(values | environment))
    if stage is not None:
        assert isinstance(system.deps.handlers, dict)
        system.deps.handlers[stage.kind] = stage
    setup.prepare(system.deps, system.dispatcher)
    for tenant, plan in TENANTS.items():
        setup.create_tenant(system.deps, tenant, plan)
    return system


def hold_messages(system: System) -> None:
    """Messages are taken and go nowhere: what is admitted stays pending, so that slots stay taken."""
    assert isinstance(system.delivery, EmbeddedDelivery)
    system.delivery.deliver_to(lambda message: None, lambda message, error: None)


def key_of(system: System, tenant: str | None, role: Role = Role.OWNER, user: str | None = None) -> str:
    """A new key's token; tenant None is an operator's."""
    return setup.issue_key(system.deps, tenant, Role.OPERATOR if tenant is None else role, "test", user).token


@dataclass
class Answer:
    """An answer of the API."""

    status: int
    headers: Any
    """By name in any case."""
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


def hold_against_document(method: str, path: str, status: int, media: str, content: bytes) -> None:
    """Fail unless the document knows the operation, the status, and the shape of the body."""
    for template, operations in DOCUMENT["paths"].items():
        pattern = re.sub(r"{\w+}", "[^/]+", template)
        operation = operations.get(method.lower())
        if operation and re.fullmatch(pattern, path.partition("?")[0]):
            break
    else:
        return  # no such operation: 404 and 405 have no other place to be documented
    assert str(status) in operation["responses"], f"{method} {template} answers {status}, which is not documented"
    contents = operation["responses"][str(status)].get("content", {})
    media = media.partition(";")[0]
    if not contents:
        assert content == b""
        return
    if media == "application/json":
        schema = {**contents[media]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(json.loads(content))
    else:
        assert media in contents or "application/octet-stream" in contents


class Api:
    """Asks the Flask app; every answer is held against the document."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.app = create_api(system)
        self.keys = {tenant: key_of(system, tenant) for tenant in TENANTS}
        self.operator = key_of(system, None)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = "acme",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """`body` bytes go as they are, anything else as JSON; `key` is a tenant's name, a token, or None."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {self.keys.get(key, key)}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        found = self.app.test_client().open(path, method=method, data=data, headers=sent)
        content = found.get_data()
        if method != "HEAD":
            hold_against_document(method, path, found.status_code, found.content_type, content)
        return Answer(found.status_code, found.headers, content)

    def get(self, path: str, **more: Any) -> Answer:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> Answer:
        return self.ask("POST", path, body, **more)

    def submit(self, tenant: str = "acme", **fields: Any) -> Answer:
        headers = fields.pop("headers", None)
        return self.post(f"/tenants/{tenant}/runs", {**ECHO, **fields}, key=tenant, headers=headers)


@dataclass(frozen=True)
class Sse:
    """One server-sent event."""

    id: int
    type: str
    data: Any


def sse(lines: Iterator[str], with_places: bool = False) -> Iterator[Sse]:
    """The stored events in the lines of a stream; with places also those that are only told: `run.line`, id 0."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields and ("id" in fields or with_places):
                yield Sse(int(fields.get("id", 0)), fields["event"], json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


@dataclass
class Server:
    """A system behind its front, on a free port, in a thread."""

    system: System
    key: str = field(init=False)
    url: str = field(init=False)
    port: int = field(init=False)

    def __enter__(self) -> Server:
        self.front = build_front(self.system)
        self._server = uvicorn.Server(
            uvicorn.Config(self.front, port=0, log_config=None, ws="none", timeout_graceful_shutdown=3)
        )
        self._thread = threading.Thread(target=self._server.run, name="server", daemon=True)
        self._thread.start()
        assert eventually(lambda: self._server.started)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = key_of(self.system, "acme")
        return self

    def __exit__(self, *_: object) -> None:
        self.front.end_streams()
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server does not stop"

    @contextmanager
    def client(self, key: str | None = None) -> Iterator[httpx.Client]:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False) as client:
            yield client

    @contextmanager
    def events(
        self,
        client: httpx.Client,
        run_id: str,
        after: int | None = None,
        *,
        with_places: bool = False,
        tenant: str = "acme",
    ) -> Iterator[Iterator[Sse]]:
        headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": str(after)})
        with client.stream("GET", f"/tenants/{tenant}/runs/{run_id}/events", headers=headers) as response:
            assert response.status_code == 200, response.read()
            yield sse(response.iter_lines(), with_places)


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()
