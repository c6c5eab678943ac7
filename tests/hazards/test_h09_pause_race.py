"""H9: a pause races the promotion of runs in line. Both write the tenant's document, so one of them sees the other; what
was promoted before the pause goes back in its second phase. After the pause has answered nothing has started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import pytest

from headgate.core.policy import OnLimit
from headgate.core.run import Run
from headgate.flow import pause
from headgate.flow.pause import Pause
from headgate.store.documents import where
from headgate.store.port import Mask, Write
from headgate.store.sqlite import SqliteBackend
from tests.support.live import Live
from tests.support.places import store_over
from tests.support.threads import all_well, together
from tests.support.wrapped import Hooked

RACES = 200


def two_processes() -> tuple[Live, Live]:
    backend = SqliteBackend(":memory:", "off", None)
    one, two = (Live(store_over(backend)) for _ in range(2))
    one.prepare(acme="enterprise")
    for _ in range(3):
        one.submit("acme", repo="o/r", on_limit=OnLimit.QUEUE)
    return one, two


def started_after_the_pause(one: Live, two: Live, races: int, seed: int) -> int:
    """Races in which a run of the paused tenant was pending, or became it, when the pause had answered."""
    rng, caught = Random(seed), 0
    for _ in range(races):
        pause.resume(one.deps, one.dispatcher, "acme", "tenant", one.why())
        stop = partial(pause.pause, one.deps, one.dispatcher, "acme", Pause(mode="hold"), one.why())
        late = partial(dispatched_late, two, rng.random() * 0.002)
        acts: list[Callable[[], object]] = [stop, late, two.dispatcher.dispatch]
        all_well(together(acts))
        pending = one.deps.store.query(Run, where(Run, ("state", "==", "pending")))
        two.dispatcher.dispatch()
        pending += one.deps.store.query(Run, where(Run, ("state", "==", "pending")))
        caught += bool(pending)
    return caught


def dispatched_late(live: Live, seconds: float) -> None:
    live.deps.timing.sleep(seconds)
    live.dispatcher.dispatch()


def test_no_run_starts_after_a_pause_has_answered():
    one, two = two_processes()
    assert started_after_the_pause(one, two, RACES, seed=3) == 0
    pause.resume(one.deps, one.dispatcher, "acme", "tenant", one.why())
    one.execute_all()
    two.execute_all()
    one.assert_books_balance()


def test_control_a_pause_of_one_phase_leaves_what_was_promoted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pause, "revoke_all", lambda *args: frozenset())
    one, two = two_processes()
    assert started_after_the_pause(one, two, 5, seed=3) == 5


class Unconditional(Hooked):
    """The wrong variant: a store that writes whatever the reader's versions were."""

    def commit(self, writes: Sequence[Write], timeout: float) -> None:
        self.before_commit(writes)
        now = {found.key: found.version for found in self.inner.get([w.key for w in writes], timeout).found}
        forced = [write._replace(version=now[write.key]) for write in writes if not isinstance(write, Mask)]
        self.inner.commit(forced, timeout)


def committed_after_the_pause(store: type[Hooked]) -> list[str]:
    """A promotion that was decided before a pause and commits after it: the states of the runs then."""
    hooked = store(SqliteBackend(":memory:", "off", None))
    one, two = Live(store_over(hooked)), Live(store_over(hooked.inner))
    two.prepare(acme="enterprise")
    pause.pause(two.deps, two.dispatcher, "acme", Pause(mode="hold"), two.why())
    two.submit("acme", on_limit=OnLimit.QUEUE)
    pause.resume(two.deps, _Quiet(), "acme", "tenant", two.why())  # type: ignore[arg-type]

    def pausing(writes: Sequence[Write]) -> None:
        hooked.before_commit = lambda writes: None
        pause.pause(two.deps, two.dispatcher, "acme", Pause(mode="hold"), two.why())

    hooked.before_commit = pausing
    one.dispatcher.dispatch()
    return [str(run.state) for run in one.deps.store.query(Run, where(Run))]


class _Quiet:
    """A dispatcher that leaves the promotion to the other process."""

    def dispatch(self) -> dict[str, Run]:
        return {}


def test_a_promotion_decided_before_the_pause_is_refused_after_it():
    assert committed_after_the_pause(Hooked) == ["queued"]


def test_control_without_preconditions_it_starts_in_the_paused_tenant():
    assert committed_after_the_pause(Unconditional) == ["pending"]
