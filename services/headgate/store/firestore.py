"""The Firestore adapter: the port's verbs as single RPCs, each with its own deadline.

No transaction of Firestore is used: reads take no lock, one Commit with preconditions decides. A process that dies
between them leaves nothing behind (an abandoned transaction would hold its locks for a minute).

The client library's defaults hide an outage for up to 289 s, so every call passes `timeout=` and `retry=None`; what is
worth trying again is decided here (a read that was aborted) or above (everything else).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

import grpc
from google.api_core import exceptions as errors
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import firestore

from headgate.core.errors import BodyTooLarge
from headgate.store.codec import Pb, found_of, name_of, structured, structured_conditions, value_of, write_of
from headgate.store.committer import Timing
from headgate.store.port import Ambiguous, Conflict, Delete, Found, Key, Outage, Query, Read, Write

T = TypeVar("T")

CONFLICTS = (errors.FailedPrecondition, errors.AlreadyExists, errors.NotFound, errors.Aborted)
"""Answers of a commit that wrote nothing because somebody else wrote first."""

UNREACHABLE = (
    errors.ServiceUnavailable,
    errors.GatewayTimeout,  # DEADLINE_EXCEEDED is one
    errors.InternalServerError,
    errors.Unknown,
    errors.Cancelled,
    errors.TooManyRequests,  # RESOURCE_EXHAUSTED is one
)
"""No answer, or none that says what happened. Everything else (INVALID_ARGUMENT …, but for TOO_LARGE) is our own
bug: raised as it is."""

TOO_LARGE = ("maximum entity size", "maximum allowed size", "is longer than")
"""Words of Firestore (and of its emulator) about a document, or a value in it, above 1 MiB."""

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # After an outage the same channel works again within about a second, instead of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # in truth how long one attempt to connect may take
    # A connection that died without a word is noticed by the calls on it, not by TCP after a quarter of an hour.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)

CLEARED_AT_ONCE = 400
ABORTED_PAUSE = 0.05

NOBODY = Key("markers", "nobody")
"""Asked for when only the store's time is wanted."""


class FirestoreBackend:
    """A `Backend` over one Firestore database. The channel is made at the first call: gRPC does not survive a fork.

    With `emulator_host` (`host:port`) it speaks to an emulator, without encryption, as the emulator's owner.
    `new_id` makes the `touch` of each write: it must never give the same twice.
    """

    def __init__(
        self,
        project: str,
        database: str = "(default)",
        emulator_host: str | None = None,
        *,
        timing: Timing,
        new_id: Callable[[], str],
    ) -> None:
        self._database = f"projects/{project}/databases/{database}"
        self._root = f"{self._database}/documents"
        self._emulator_host = emulator_host
        self._metadata = (("authorization", "Bearer owner"),) if emulator_host else ()
        self._new_id = new_id
        self._timing = timing
        self._lock = threading.Lock()
        self._client: FirestoreClient | None = None

    # --- reading

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        """The documents of `keys`, in that order, all of the same moment."""
        names = [name_of(self._root, key) for key in keys or (NOBODY,)]
        request = _request(firestore.BatchGetDocumentsRequest, database=self._database, documents=names)
        responses = self._read(timeout, lambda rest: self._stream("batch_get_documents", request, rest))
        there = [found_of(response.found) for response in responses if response.HasField("found")]
        by_key = {found.key: found for found in there}
        return Read([by_key.get(key, Found(key, None, None)) for key in keys], _now(responses))

    def query(self, query: Query, timeout: float) -> Read:
        """What matches now, as of one moment."""
        if _impossible(query):
            return self.get((), timeout)
        request = _request(firestore.RunQueryRequest, parent=self._root, structured_query=structured(self._root, query))
        responses = self._read(timeout, lambda rest: self._stream("run_query", request, rest))
        found = [found_of(response.document) for response in responses if response.HasField("document")]
        return Read(found, _now(responses))

    def count(self, query: Query, timeout: float) -> int:
        """How many match now: one read per thousand of them on the bill."""
        if _impossible(query):
            return 0
        counted = {"structured_query": structured_conditions(query), "aggregations": [{"alias": "n", "count": {}}]}
        request = _request(
            firestore.RunAggregationQueryRequest, parent=self._root, structured_aggregation_query=counted
        )
        responses = self._read(timeout, lambda rest: self._stream("run_aggregation_query", request, rest))
        return sum(int(value_of(r.result.aggregate_fields["n"])) for r in responses if r.HasField("result"))

    def ping(self, timeout: float) -> None:
        """Raises Outage unless a document can be read now."""
        self.get((), timeout)

    # --- writing

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        """One Commit RPC, never repeated here: a second one would meet the first one's own preconditions."""
        if not writes:
            return
        request = _request(
            firestore.CommitRequest,
            database=self._database,
            writes=[write_of(self._root, write, self._new_id) for write in writes],
        )
        try:
            self._call("commit", request, timeout)
        except CONFLICTS as problem:
            raise Conflict(str(problem)) from problem
        except UNREACHABLE as problem:
            raise Ambiguous(str(problem)) from problem
        except errors.InvalidArgument as problem:
            if any(words in str(problem) for words in TOO_LARGE):
                raise BodyTooLarge(
                    "Nothing was changed: what is kept of this in one document would be above the store's 1 MiB. Ask for "
                    "less, or first end runs, pauses or limits of the tenant."
                ) from problem
            raise

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        """Delete in batches. If the process dies half-way the rest is still there for the next sweep of retention."""
        deadline = self._timing.monotonic() + timeout
        todo = list(keys)
        for start in range(0, len(todo), CLEARED_AT_ONCE):
            batch = [Delete(key, None) for key in todo[start : start + CLEARED_AT_ONCE]]
            try:
                self.commit(batch, self._rest(deadline))
            except (Ambiguous, Conflict) as problem:
                raise Outage(str(problem)) from problem

    def close(self) -> None:
        """Close the channel."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.transport.close()  # type: ignore[no-untyped-call]

    # --- calling

    def _read(self, timeout: float, call: Callable[[float], list[T]]) -> list[T]:
        """A read's responses. Firestore may abort a read under contention; that one is tried again in the time left."""
        deadline = self._timing.monotonic() + timeout
        while True:
            try:
                return call(self._rest(deadline))
            except errors.Aborted as problem:
                pause = ABORTED_PAUSE * self._timing.random()
                if self._timing.monotonic() + pause >= deadline:
                    raise Outage(str(problem)) from problem
                self._timing.sleep(pause)
            except UNREACHABLE as problem:
                raise Outage(str(problem)) from problem

    def _rest(self, deadline: float) -> float:
        return max(0.001, deadline - self._timing.monotonic())

    def _stream(self, method: str, request: Pb, timeout: float) -> list[Pb]:
        responses: Iterator[Any] = self._call(method, request, timeout)
        return [type(response).pb(response) for response in responses]

    def _call(self, method: str, request: Pb, timeout: float) -> Any:
        rpc = getattr(self._connected(), method)
        return rpc(request=request, timeout=timeout, retry=None, metadata=self._metadata)

    def _connected(self) -> FirestoreClient:
        with self._lock:
            if self._client is None:
                channel = _channel(self._emulator_host)
                self._client = FirestoreClient(transport=FirestoreGrpcTransport(channel=channel))
            return self._client


def _channel(emulator_host: str | None) -> grpc.Channel:
    if emulator_host:
        return grpc.insecure_channel(emulator_host, options=CHANNEL_OPTIONS)
    return FirestoreGrpcTransport.create_channel(options=CHANNEL_OPTIONS)


def _request(cls: Any, **fields: Any) -> Any:
    """A request filled as raw protobuf, in the thin wrapper that the client wants."""
    return cls.wrap(cls.pb()(**fields))


def _now(responses: Sequence[Pb]) -> int:
    """The moment that the answer shows, in ms."""
    return int(max(response.read_time.ToMilliseconds() for response in responses))


def _impossible(query: Query) -> bool:
    """Whether it asks for a value out of none, which Firestore refuses instead of finding nothing."""
    return any(where.op in ("in", "array_contains_any") and not where.value for where in query.where)
