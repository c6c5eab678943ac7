"""What every flow needs, handed in by wiring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headgate.core.errors import InvalidRequest
from headgate.core.policy import Policy
from headgate.delivery.port import Delivery
from headgate.flow.alarm import Alarm, NoAlarm
from headgate.flow.kept import Kept
from headgate.handlers.interface import Handler
from headgate.outbound.artifacts import ArtifactStore
from headgate.outbound.surroundings import AnyHost, Broker, Host
from headgate.store.reader import Store
from headgate.telemetry.metrics import Sample
from headgate.telemetry.port import Telemetry


class Ids(Protocol):
    """Where ids come from."""

    def new(self, prefix: str) -> str:
        """`run` gives `run_…`; unguessable, evenly spread."""

    def secret(self) -> str:
        """256 bits of a key's secret."""


class Timing(Protocol):
    """Waiting and chance; what is stored carries the store's own time."""

    def monotonic(self) -> float:
        """Seconds, only ever forward."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC by this machine's clock: to judge a token's times, never to store."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def random(self) -> float:
        """0 ≤ x < 1."""


class GaugeWriter(Protocol):
    """Where the sweep's gauges go."""

    def write(self, samples: Sequence[Sample]) -> None:
        """One point each, of now. Never raises."""


class Changes:
    """Tells listeners of this process which runs have changed, after the commit. A hint: listeners also look now and then."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Sequence[str]], None]] = []

    def listen(self, listener: Callable[[Sequence[str]], None]) -> None:
        """Call `listener` with run ids from now on; it must not block or raise."""
        self._listeners.append(listener)

    def announce(self, *run_ids: str) -> None:
        """These runs have changed."""
        for listener in self._listeners:
            listener(run_ids)


@dataclass(frozen=True, kw_only=True)
class Deps:
    """One process's parts."""

    store: Store
    policy: Policy
    delivery: Delivery
    handlers: Mapping[str, Handler]
    artifacts: ArtifactStore
    ids: Ids
    timing: Timing
    telemetry: Telemetry
    changes: Changes = field(default_factory=Changes)
    alarm: Alarm = field(default_factory=NoAlarm)
    host: Host = field(default_factory=AnyHost)
    broker: Broker | None = None
    """None = there is no broker but our own records: pending runs are its backlog."""
    gauges: GaugeWriter | None = None
    """None = nobody is written to: `/metrics` measures when it is asked."""
    kept: Kept = field(default_factory=Kept)
    """What this process has read a moment ago."""
    counted_places: int | None = None
    """Up to so many waiting a place in line is counted, above that it is read off a ladder; None = always counted."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind this process knows, sorted."""
        return tuple(sorted(self.handlers))

    def handler(self, kind: str) -> Handler:
        """The handler of a kind. Raises InvalidRequest naming the known ones."""
        if kind not in self.handlers:
            known = ", ".join(self.kinds)
            raise InvalidRequest(f"kind is {kind!r}; known kinds are {known}.", field="kind")
        return self.handlers[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What comes with a request beside its body: its id and the correlation that travels with the run."""

    request_id: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
