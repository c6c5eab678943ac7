"""The gate itself, in real time: what a submit takes, and the gap between two runs at a cap of 1."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from headgate.bench.line import BOUNDLESS, TENANT
from headgate.core.policy import OnLimit, Policy
from headgate.core.run import Run
from headgate.core.submission import Submission
from headgate.delivery.embedded import EmbeddedDelivery
from headgate.delivery.port import Message
from headgate.flow import work
from headgate.flow.deps import Asking
from headgate.flow.submit import Accepted
from headgate.handlers.interface import Done
from headgate.verify.faulty import Pigeonhole
from headgate.verify.ground import Ground, fresh_name
from headgate.verify.live import live_place, owner, percentile, prepare
from headgate.verify.places import Place

POLICY = replace(Policy(), line=BOUNDLESS, user=None, kinds={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds each took."""

    seconds: tuple[float, ...]

    def as_json(self) -> Mapping[str, object]:
        """For scripts: milliseconds."""
        shares = {"p50Ms": 0.5, "p90Ms": 0.9, "p99Ms": 0.99}
        told = {name: round(percentile(self.seconds, share) * 1000, 3) for name, share in shares.items()}
        return {"n": len(self.seconds), **told}


def submits(ground: Ground, count: int) -> Times:
    """From the call to the answer of a submit that is admitted at once, one caller; each run ends before the next."""
    inbox = Pigeonhole()
    place = live_place("bench", ground.open(fresh_name()), inbox, POLICY)
    try:
        prepare(place, [TENANT], "enterprise")
        return Times(seconds=tuple(_submitted(place, inbox) for _ in range(count)))
    finally:
        place.deps.store.close()


def _submitted(place: Place, inbox: Pigeonhole) -> float:
    timing = place.deps.timing
    began = timing.monotonic()
    answer = place.submitter.submit(owner(TENANT), TENANT, Submission(kind="command"), Asking())
    seconds = timing.monotonic() - began
    assert isinstance(answer, Accepted)
    [message] = inbox.taken()
    run = work.claim(place.deps, message.run_id, message.fence, "bench")
    assert run is not None
    work.finish(place.deps, place.dispatcher, run, work.Ending(outcome=Done({})))
    return seconds


def gaps(ground: Ground, count: int) -> Times:
    """At a cap of 1, with a line: from the end of one run's work until the next one's begins, in another thread."""
    delivery = EmbeddedDelivery(2)
    place = live_place("bench", ground.open(fresh_name()), delivery, POLICY)
    ends: list[float] = []
    found: list[float] = []
    over = threading.Event()

    def handle(message: Message) -> None:
        run = work.claim(place.deps, message.run_id, message.fence, "bench")
        began = place.deps.timing.monotonic()
        if run is None:
            return
        if ends:
            found.append(began - ends[-1])
        ends.append(place.deps.timing.monotonic())
        work.finish(place.deps, place.dispatcher, run, work.Ending(outcome=Done({})))
        if len(found) >= count:
            over.set()

    try:
        prepare(place, [TENANT], "free")
        for _ in range(count + 5):
            place.submitter.submit(owner(TENANT), TENANT, Submission(kind="command", on_limit=OnLimit.QUEUE), Asking())
        delivery.deliver_to(handle, lambda message, error: over.set())
        for message in _pending(place):
            delivery.publish(message, 1.0)
        over.wait(60)
        return Times(seconds=tuple(found[:count]))
    finally:
        delivery.close()
        place.deps.store.close()


def _pending(place: Place) -> list[Message]:
    return [Message(run_id=run.id, fence=run.fence) for run in place.deps.store.every(Run, ("state", "==", "pending"))]
