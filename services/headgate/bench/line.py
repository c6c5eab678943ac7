"""The line at 1,000 and at 100,000: what a promotion and a look at one's position cost. Real time, a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from headgate.bench.counting import CountingBackend
from headgate.core.lifecycle import created
from headgate.core.policy import LineBounds, Policy
from headgate.core.run import Run
from headgate.core.submission import Submission, run_of
from headgate.core.tenant import Tenant
from headgate.flow import overview, places, work
from headgate.flow.dispatch import Dispatcher
from headgate.flow.ledger import Ledger
from headgate.handlers.interface import Done
from headgate.store.documents import where
from headgate.store.transaction import Tx
from headgate.verify.faulty import Pigeonhole
from headgate.verify.ground import Ground, fresh_name
from headgate.verify.live import live_place, percentile, prepare
from headgate.verify.places import Place

TENANT = "acme"
USERS = 40
CHUNK = 250
WARM_UP = 10
BOUNDLESS = LineBounds(total=1_000_000, per_tenant=1_000_000, per_user=1_000_000)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Of one length: seconds from a finished run's commit to the next run's; of a run's position; of all that is told of
    its wait (reasons, holders, estimate). Documents that a store would bill for a finish and the promotion after it."""

    length: int
    promotion: tuple[float, ...]
    position: tuple[float, ...]
    told: tuple[float, ...]
    reads: float
    writes: float

    def as_json(self) -> Mapping[str, object]:
        """For scripts: milliseconds, documents."""
        figures = {"promotion": self.promotion, "position": self.position, "told": self.told}
        shares = {"P50Ms": 0.5, "P99Ms": 0.99}
        times = {
            name + word: round(percentile(seconds, share) * 1000, 3)
            for name, seconds in figures.items()
            for word, share in shares.items()
        }
        return {"queued": self.length, **times, "reads": self.reads, "writes": self.writes}


class Timed(Dispatcher):
    """A dispatcher that tells how long its passes took."""

    def __init__(self, inner: Dispatcher, monotonic: Callable[[], float]) -> None:
        self._inner, self._monotonic = inner, monotonic
        self.seconds = 0.0

    def dispatch(self) -> dict[str, Run]:
        """See Dispatcher."""
        began = self._monotonic()
        try:
            return self._inner.dispatch()
        finally:
            self.seconds += self._monotonic() - began


@dataclass(frozen=True, slots=True)
class Scene:
    """A store with a line of that length, and one run of it that has its turn."""

    length: int
    place: Place
    inbox: Pigeonhole
    billed: CountingBackend


def measure(ground: Ground, lengths: tuple[int, ...], rounds: int, progress: Progress) -> tuple[Line, ...]:
    """Each length in a store of its own; they take turns, so that a busy moment of the machine hits all alike."""
    scenes = [_scene(ground, length, progress) for length in lengths]
    try:
        for scene in scenes:
            for _ in range(WARM_UP):
                _promotion(scene)
            scene.billed.reset()
        promotions = [tuple(seconds) for seconds in zip(*_rounds(scenes, rounds), strict=True)]
        return tuple(_line(scene, seconds) for scene, seconds in zip(scenes, promotions, strict=True))
    finally:
        for scene in scenes:
            scene.place.deps.store.close()


def _rounds(scenes: Sequence[Scene], rounds: int) -> Iterator[tuple[float, ...]]:
    for _ in range(rounds):
        yield tuple(_promotion(scene) for scene in scenes)


def _line(scene: Scene, promotion: tuple[float, ...]) -> Line:
    reads, writes = (round(count / len(promotion), 2) for count in (scene.billed.reads, scene.billed.writes))
    position, told = _looks(scene.place, len(promotion))
    return Line(length=scene.length, promotion=promotion, position=position, told=told, reads=reads, writes=writes)


def _scene(ground: Ground, length: int, progress: Progress) -> Scene:
    """Filled by one process, measured in another: what the filling left in memory and to be written is out of the way."""
    name, policy = fresh_name(), replace(Policy(), line=BOUNDLESS, user=None, kinds={})
    filling = live_place("fill", ground.open(name), Pigeonhole(), policy)
    prepare(filling, [TENANT], "free")  # one at a time: every finish promotes exactly one
    fill(filling, policy, length, progress)
    filling.deps.store.close()
    inbox, billed = Pigeonhole(), CountingBackend(ground.open(name))
    place = live_place("bench", billed, inbox, policy)
    place.dispatcher.dispatch()
    return Scene(length, place, inbox, billed)


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


def _promotion(scene: Scene) -> float:
    """Finish what runs; the seconds from that commit until the next run is pending and published."""
    [message], place = scene.inbox.taken(), scene.place
    run = work.claim(place.deps, message.run_id, message.fence, "bench")
    assert run is not None
    timed = Timed(place.dispatcher, place.deps.timing.monotonic)
    work.finish(place.deps, timed, run, work.Ending(outcome=Done({})))
    return timed.seconds


def _looks(place: Place, rounds: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Looks at runs near the end of the line, the dear ones: seconds for the place, and for everything."""
    deps, queued = place.deps, (("tenant", "==", TENANT), ("state", "==", "queued"))
    runs = deps.store.query(Run, where(Run, *queued, order=("-created_at",), limit=rounds))
    tenant = deps.store.get(Tenant, TENANT)
    assert tenant is not None
    found = []
    for run in runs:
        began = deps.timing.monotonic()
        places.places(deps, tenant, [run])
        counted = deps.timing.monotonic()
        overview.line_of(deps, run)
        found.append((counted - began, deps.timing.monotonic() - counted))
    return tuple(place for place, _ in found), tuple(told for _, told in found)
