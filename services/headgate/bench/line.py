"""The line at 1,000 and at 100,000: what a promotion and a look at one's position cost. Real time, a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from headgate.core.lifecycle import created
from headgate.core.policy import LineBounds, OnLimit, Policy
from headgate.core.run import Run
from headgate.core.submission import Submission, run_of
from headgate.delivery.port import Message
from headgate.flow import overview, work
from headgate.flow.deps import Asking
from headgate.flow.ledger import Ledger
from headgate.handlers.interface import Done
from headgate.store.documents import where
from headgate.store.transaction import Tx
from headgate.verify.ground import Ground, fresh_name
from headgate.verify.live import live_place, owner, percentile, prepare
from headgate.verify.places import Place

TENANT = "acme"
USERS = 40
CHUNK = 250
BOUNDLESS = LineBounds(total=1_000_000, per_tenant=1_000_000, per_user=1_000_000)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Of one length: seconds from a finished run's commit to the next run's, and of a look at a position."""

    length: int
    promotion: tuple[float, ...]
    position: tuple[float, ...]

    def as_json(self) -> Mapping[str, object]:
        """For scripts: milliseconds."""
        figures = {"promotion": self.promotion, "position": self.position}
        shares = {"P50Ms": 0.5, "P99Ms": 0.99}
        told = {
            name + word: round(percentile(seconds, share) * 1000, 3)
            for name, seconds in figures.items()
            for word, share in shares.items()
        }
        return {"queued": self.length, **told}


class Hold:
    """Keeps the messages: the bench itself is the worker."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, message: Message, timeout: float) -> None:
        """See Delivery."""
        self.messages.append(message)

    def ping(self, timeout: float) -> None:
        """See Delivery."""

    def close(self) -> None:
        """See Delivery."""


def measure(ground: Ground, lengths: tuple[int, ...], rounds: int, progress: Progress) -> tuple[Line, ...]:
    """Each length in a store of its own; between the measured promotions the line keeps its length."""
    return tuple(_measured(ground, length, rounds, progress) for length in lengths)


def _measured(ground: Ground, length: int, rounds: int, progress: Progress) -> Line:
    inbox = Hold()
    policy = replace(Policy(), line=BOUNDLESS, user=None, kinds={})
    place = live_place("bench", ground.open(fresh_name()), inbox, policy)
    try:
        prepare(place, [TENANT], "free")  # one at a time: every finish promotes exactly one
        place.submitter.submit(owner(TENANT), TENANT, Submission(kind="command", on_limit=OnLimit.QUEUE), Asking())
        fill(place, policy, length, progress)
        promotions = tuple(_promotion(place, inbox) for _ in range(rounds))
        return Line(length=length, promotion=promotions, position=tuple(_looks(place, rounds)))
    finally:
        place.deps.store.close()


def fill(place: Place, policy: Policy, length: int, progress: Progress = lambda done, total: None) -> None:
    """So many runs of many users in the line, in commits of many: the books are right, only faster than by submits."""
    for done in range(0, length, CHUNK):

        def body(tx: Tx, first: int = done) -> None:
            ledger = Ledger.open(tx, TENANT, policy)
            for number in range(first, min(first + CHUNK, length)):
                asked = Submission(kind="command", user=f"user-{number % USERS}")
                plan = policy.plan(ledger.tenant.plan)
                run = run_of(asked, place.deps.ids.new("run"), TENANT, plan, policy, tx.now)
                shard = ledger.line_shard(tx.chance, bound=True)
                assert shard is not None  # the bounds are far away
                run = created(ledger.join_line(run, shard), tx.now)
                tx.create(run)
                ledger.put_run(run)
            ledger.close()

        place.deps.store.transact(body, TENANT)
        progress(done + CHUNK, length)


def _promotion(place: Place, inbox: Hold) -> float:
    """Finish what runs; the seconds until the next is pending and published. The finish itself is not counted."""
    message = inbox.messages.pop()
    run = work.claim(place.deps, message.run_id, message.fence, "bench")
    assert run is not None
    timing, began = place.deps.timing, 0.0

    class Timed:
        """The dispatcher, with the moment at which it is asked."""

        def dispatch(self) -> object:
            nonlocal began
            began = timing.monotonic()
            return place.dispatcher.dispatch()

    work.finish(place.deps, Timed(), run, work.Ending(outcome=Done({})))  # type: ignore[arg-type]
    return timing.monotonic() - began


def _looks(place: Place, rounds: int) -> list[float]:
    """Looks at places near the end of the line, the dear ones."""
    last = where(Run, ("tenant", "==", TENANT), ("state", "==", "queued"), ("delayed", "==", False), order=("-key",), limit=rounds)
    seconds = []
    for run in place.deps.store.query(Run, last):
        began = place.deps.timing.monotonic()
        line = overview.line_of(place.deps, run)
        seconds.append(place.deps.timing.monotonic() - began)
        assert line is not None
    return seconds
