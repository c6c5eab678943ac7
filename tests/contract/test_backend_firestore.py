"""The contract on Firestore's emulator, and what is Firestore's own: how it fails, and what it stores."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import pytest
from google.api_core import exceptions as errors
from google.cloud.firestore_v1.types import BatchGetDocumentsResponse, Document, GetDocumentRequest

from headgate.core.errors import BodyTooLarge
from headgate.sources import RandomIds, SystemTiming
from headgate.store.documents import IdempotencyRecord
from headgate.store.firestore import FirestoreBackend
from headgate.store.port import Ambiguous, Backend, Conflict, Key, Mask, Outage, Query
from tests.contract.backend_contract import BackendContract
from tests.contract.samples import T, create, idem, key, raw_of, run
from tests.support.emulators import free_port

pytestmark = pytest.mark.emulators

SERVICE = "/google.firestore.v1.Firestore/"


def open_firestore(project: str, host: str) -> FirestoreBackend:
    return FirestoreBackend(project, emulator_host=host, timing=SystemTiming(), new_id=RandomIds().commit)


@pytest.fixture
def firestore(firestore_emulator: str, project_id: str) -> Iterator[FirestoreBackend]:
    with contextlib.closing(open_firestore(project_id, firestore_emulator)) as opened:
        yield opened


class TestFirestore(BackendContract):
    @pytest.fixture
    def backend(self, firestore: FirestoreBackend) -> Backend:
        return firestore


# --- what is stored


def stored(host: str, project: str, at: Key) -> Document:
    """The document as Firestore itself has it."""
    name = f"projects/{project}/databases/(default)/documents/{at.collection}/{at.id}"
    with grpc.insecure_channel(host) as channel:
        call = channel.unary_unary(SERVICE + "GetDocument", GetDocumentRequest.serialize, Document.deserialize)
        return call(GetDocumentRequest(name=name), timeout=T, metadata=[("authorization", "Bearer owner")])


def kind_of(document: Document, name: str) -> str | None:
    return Document.pb(document).fields[name].WhichOneof("value_type")


def ttl_ms(document: Document) -> int:
    return Document.pb(document).fields["ttl"].timestamp_value.ToMilliseconds()


def test_user_json_is_bytes(firestore: FirestoreBackend, firestore_emulator: str, project_id: str):
    firestore.commit([create(run(result="{}"))], T)
    document = stored(firestore_emulator, project_id, key(run()))
    assert {kind_of(document, "input"), kind_of(document, "result")} == {"bytes_value"}


def test_an_expiry_has_a_timestamp_for_the_ttl_policy(
    firestore: FirestoreBackend, firestore_emulator: str, project_id: str
):
    at = key(idem(), IdempotencyRecord)
    firestore.commit([create(idem(expire_at=1_900_000_000_123), IdempotencyRecord)], T)
    assert ttl_ms(stored(firestore_emulator, project_id, at)) == 1_900_000_000_123
    firestore.commit([Mask(at, {"expire_at": 5_000})], T)
    assert ttl_ms(stored(firestore_emulator, project_id, at)) == 5_000
    firestore.commit([Mask(at, {"expire_at": None})], T)
    assert "ttl" not in stored(firestore_emulator, project_id, at).fields
    assert raw_of(firestore, at) == idem(expire_at=None)


def test_a_document_above_the_limit_is_told_as_such(firestore: FirestoreBackend):
    """One value too long, and many values that are too much together; the negative control stays under the limit."""
    for large in ({"result": "x" * 1_100_000}, {"result": "x" * 600_000, "input": "y" * 600_000}):
        with pytest.raises(BodyTooLarge, match="Nothing was changed"):
            firestore.commit([create(run(**large))], T)
    firestore.commit([create(run(result="x" * 900_000))], T)


# --- when it is down


def in_time(seconds: float, act: Callable[[], object], expected: type[Exception]) -> None:
    start = time.monotonic()
    with pytest.raises(expected):
        act()
    assert time.monotonic() - start < seconds + 1.0


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """It lets one connect and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "refused"])
def test_a_dead_server_is_an_outage_within_the_timeout(silent: bool):
    with (
        silent_server() if silent else contextlib.nullcontext(f"127.0.0.1:{free_port()}") as host,
        contextlib.closing(open_firestore("nowhere", host)) as backend,
    ):
        in_time(0.5, lambda: backend.get([key(run())], 0.5), Outage)
        in_time(0.5, lambda: backend.query(Query("runs"), 0.5), Outage)
        in_time(0.5, lambda: backend.count(Query("runs"), 0.5), Outage)
        in_time(0.5, lambda: backend.ping(0.5), Outage)
        in_time(0.5, lambda: backend.clear([key(run())], 0.5), Outage)
        in_time(0.5, lambda: backend.commit([create(run())], 0.5), Ambiguous)


# --- what each status means


@dataclass
class ScriptedServer(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers each call with the next status of its script; OK is an empty answer. Counts the calls."""

    script: Iterator[grpc.StatusCode]
    calls: int = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if details.method.endswith("Commit"):
            return grpc.unary_unary_rpc_method_handler(lambda _, context: self._next(context))
        return grpc.unary_stream_rpc_method_handler(lambda _, context: iter([self._next(context)]))

    def _next(self, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        status = next(self.script)
        if status is not grpc.StatusCode.OK:
            context.abort(status, "as scripted")
        return BatchGetDocumentsResponse.serialize(BatchGetDocumentsResponse(read_time={"seconds": 7}))


@contextlib.contextmanager
def serving(host: str, *statuses: grpc.StatusCode) -> Iterator[ScriptedServer]:
    """A server at `host` that gives these statuses, the last for ever."""
    handler = ScriptedServer(itertools.chain(statuses, itertools.repeat(statuses[-1])))
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[handler])
        server.add_insecure_port(host)
        server.start()
        yield handler
        server.stop(None).wait()


@contextlib.contextmanager
def scripted(*statuses: grpc.StatusCode) -> Iterator[tuple[FirestoreBackend, ScriptedServer]]:
    """A backend before such a server."""
    host = f"127.0.0.1:{free_port()}"
    with serving(host, *statuses) as server, contextlib.closing(open_firestore("scripted", host)) as backend:
        yield backend, server


S = grpc.StatusCode
LOST = [S.UNAVAILABLE, S.DEADLINE_EXCEEDED, S.INTERNAL, S.UNKNOWN, S.CANCELLED, S.RESOURCE_EXHAUSTED]
BUGS = {S.INVALID_ARGUMENT: errors.InvalidArgument, S.PERMISSION_DENIED: errors.PermissionDenied}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Conflict) for status in (S.FAILED_PRECONDITION, S.ALREADY_EXISTS, S.NOT_FOUND, S.ABORTED)),
        *((status, Ambiguous) for status in LOST),
        *BUGS.items(),
    ],
)
def test_what_a_status_of_a_commit_means(status: grpc.StatusCode, expected: type[Exception]):
    with scripted(status) as (backend, server):
        with pytest.raises(expected):
            backend.commit([create(run())], T)
        assert server.calls == 1, "a commit is never repeated below the committer"


@pytest.mark.parametrize(("status", "expected"), [*((status, Outage) for status in LOST), *BUGS.items()])
def test_what_a_status_of_a_read_means(status: grpc.StatusCode, expected: type[Exception]):
    with scripted(status) as (backend, server):
        with pytest.raises(expected):
            backend.get([key(run())], T)
        assert server.calls == 1


def test_an_aborted_read_is_tried_again_within_its_time():
    with scripted(S.ABORTED, S.ABORTED, S.OK) as (backend, server):
        assert backend.get([], T).now == 7_000
        assert server.calls == 3
    with scripted(S.ABORTED) as (backend, server):
        in_time(0.3, lambda: backend.get([], 0.3), Outage)
        assert server.calls > 3


def test_the_same_client_works_again_soon_after_an_outage():
    """gRPC would by default be waiting by then: it tries after 1, 2.6, 5.2 and 9.3 s."""
    host = f"127.0.0.1:{free_port()}"
    with contextlib.closing(open_firestore("back", host)) as backend:
        until = time.monotonic() + 6
        while time.monotonic() < until:
            in_time(0.2, lambda: backend.ping(0.2), Outage)
            time.sleep(0.1)
        with serving(host, S.OK):
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                with contextlib.suppress(Outage):
                    return backend.ping(1.0)
                time.sleep(0.02)
            pytest.fail("no answer 1.5 s after the server came back")
