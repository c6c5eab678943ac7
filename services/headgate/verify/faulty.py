"""The outside of a simulated process: a store that conflicts and loses replies, a broker that drops and repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from headgate.delivery.port import DeliveryDown, Message
from headgate.store.port import Ambiguous, Backend, Conflict, Key, Outage, Query, Read, Write
from headgate.verify.faults import Faults
from headgate.verify.scheduler import Scheduler


@dataclass
class FaultyBackend:
    """One process's way to the store. Every call is a point at which others go on; `reached` counts what happened."""

    inner: Backend
    scheduler: Scheduler
    faults: Faults
    reached: Counter[str]
    committed: Callable[[Sequence[Write]], None]

    def get(self, keys: Sequence[Key], timeout: float) -> Read:
        """See Backend."""
        self._before_read()
        return self.inner.get(keys, timeout)

    def query(self, query: Query, timeout: float) -> Read:
        """See Backend."""
        self._before_read()
        return self.inner.query(query, timeout)

    def count(self, query: Query, timeout: float) -> int:
        """See Backend."""
        self._before_read()
        return self.inner.count(query, timeout)

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        """See Backend; a lost reply hides a commit that was applied, was not, or is applied only later."""
        self.scheduler.pause()
        if self._happens("conflict"):
            raise Conflict("simulated")
        if self._happens("lost_reply"):
            self._lose_reply(writes, timeout)
        self._apply(writes, timeout)
        self.scheduler.pause()

    def ping(self, timeout: float) -> None:
        """See Backend."""
        self.inner.ping(timeout)

    def clear(self, keys: Collection[Key], timeout: float) -> None:
        """See Backend."""
        self.inner.clear(keys, timeout)

    def close(self) -> None:
        """The store outlives its processes."""

    def _lose_reply(self, writes: Sequence[Write], timeout: float) -> None:
        how = self.scheduler.rng.choice(("applied", "not applied", "applied later"))
        self.reached[f"lost reply, {how}"] += 1
        if how == "applied":
            self._apply(writes, timeout)
        elif how == "applied later":
            self.scheduler.spawn("late commit", _NETWORK, lambda: self._apply_late(writes, timeout))
        raise Ambiguous(f"simulated: {how}")

    def _apply_late(self, writes: Sequence[Write], timeout: float) -> None:
        self.scheduler.sleep(0.05 * self.scheduler.rng.random())
        try:
            self._apply(writes, timeout)
            self.reached["late commit applied"] += 1
        except Conflict:
            self.reached["late commit refused"] += 1

    def _apply(self, writes: Sequence[Write], timeout: float) -> None:
        try:
            self.inner.commit(writes, timeout)
        except Conflict:
            self.reached["conflict"] += 1
            raise
        self.committed(writes)

    def _before_read(self) -> None:
        self.scheduler.pause()
        if self._happens("outage"):
            raise Outage("simulated")

    def _happens(self, fault: str) -> bool:
        happens = self.scheduler.rng.random() < self.faults.chance(fault)
        if happens:
            self.reached[f"fault: {fault}"] += 1
        return happens


@dataclass(eq=False)
class _Network:
    name: str = "network"


_NETWORK = _Network()


@dataclass
class FaultyBroker:
    """Takes messages and hands each to `deliver`, as brokers do: at least once or not at all, now or much later.

    What it gives up after its last try it hands to `give_up`.
    """

    scheduler: Scheduler
    faults: Faults
    reached: Counter[str]
    deliver: Callable[[Message], None] = field(default=lambda message: None)
    give_up: Callable[[Message], None] = field(default=lambda message: None)
    transit: float = 0.2
    """Seconds that a message takes at most when it is not late."""
    _sent: int = 0
    _newest: int = 0

    def publish(self, message: Message, timeout: float) -> None:
        """See Delivery."""
        self.scheduler.pause()
        if self._happens("drop"):
            self.reached["message dropped"] += 1
            if self.scheduler.rng.random() < 0.5:
                raise DeliveryDown("simulated")
            return
        copies = 1
        if self._happens("duplicate"):
            self.reached["message duplicated"] += 1
            copies = self.scheduler.rng.randint(2, 3)
        self._sent += 1
        for _ in range(copies):
            self._send(message, self._sent)

    def ping(self, timeout: float) -> None:
        """See Delivery."""

    def close(self) -> None:
        """The broker outlives its clients."""

    def _send(self, message: Message, number: int) -> None:
        late, hopeless = self._happens("late"), self._happens("give_up")
        self.reached["message late"] += late
        wait = self.scheduler.rng.random() * (60 if late else self.transit)
        self.scheduler.spawn("delivery", _NETWORK, partial(self._bring, message, number, wait, hopeless))

    def _bring(self, message: Message, number: int, wait: float, hopeless: bool) -> None:
        self.scheduler.sleep(wait)
        self.reached["messages reordered"] += number < self._newest
        self._newest = max(number, self._newest)
        (self.give_up if hopeless else self.deliver)(message)

    def _happens(self, fault: str) -> bool:
        return self.scheduler.rng.random() < self.faults.chance(fault)


@dataclass
class Pigeonhole:
    """A broker that keeps its messages until they are taken."""

    _kept: list[Message] = field(default_factory=list)

    def publish(self, message: Message, timeout: float) -> None:
        """See Delivery."""
        self._kept.append(message)

    def taken(self) -> list[Message]:
        """What has come since the last call."""
        kept, self._kept = self._kept, []
        return kept

    def ping(self, timeout: float) -> None:
        """See Delivery."""

    def close(self) -> None:
        """Nothing to give back."""
