"""A kick of the dispatcher is never dropped, also not in the moment in which a pass ends."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import pytest

from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from tests.support.world import World


class Kicked(Dispatcher):
    """Logs its passes; the `when`-th release of its lock is followed by somebody else's kick."""

    def __init__(self, deps: Deps, when: int) -> None:
        super().__init__(deps)
        self.log: list[str] = []
        self._lock: Any = Nudging(self, when)

    def _pass(self, *facts: Any) -> Any:
        self.log.append("pass")
        return super()._pass(*facts)


class Nudging:
    """No lock at all (one thread tries every moment), but one of its releases is followed by a kick."""

    def __init__(self, dispatcher: Kicked, when: int) -> None:
        self._dispatcher, self._left = dispatcher, when

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left -= 1
        if self._left == 0:
            self._dispatcher.log.append("kick")
            self._dispatcher.dispatch()


@pytest.mark.parametrize("when", [1, 2])
def test_after_every_kick_a_pass_begins(world: World, when: int) -> None:
    dispatcher = Kicked(world.deps, when)
    dispatcher.dispatch()
    kick = dispatcher.log.index("kick")
    assert "pass" in dispatcher.log[kick:], dispatcher.log
    assert not dispatcher._busy


class Interrupted(Dispatcher):
    """Somebody kicks in the middle of its first pass."""

    passes = 0

    def _pass(self, *facts: Any) -> Any:
        self.passes += 1
        if self.passes == 1:
            assert self.dispatch() == {}
        return super()._pass(*facts)


def test_a_kick_during_a_pass_makes_another(world: World) -> None:
    dispatcher = Interrupted(world.deps)
    dispatcher.dispatch()
    assert dispatcher.passes == 2
