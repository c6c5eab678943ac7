"""A dead broker costs one publish a dispatch, however many runs it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from headgate.core.policy import OnLimit, Policy, PressurePolicy
from headgate.delivery.port import DeliveryDown, Message
from headgate.flow import pause
from headgate.flow.dispatch import Dispatcher
from tests.support.world import World


@dataclass
class DeadBroker:
    tried: int = 0

    def publish(self, message: Message, timeout: float) -> None:
        self.tried += 1
        raise DeliveryDown("dead")

    def ping(self, timeout: float) -> None:
        raise DeliveryDown("dead")

    def close(self) -> None:
        return


def test_a_dead_broker_is_asked_once(tmp_path: Path) -> None:
    world = World(tmp_path, Policy(pressure=PressurePolicy(ramp_seconds=0)))
    pause.pause(world.deps, world.dispatcher, "acme", pause.Pause(mode="hold"), world.why())
    runs = [world.accepted(on_limit=OnLimit.QUEUE) for _ in range(4)]
    broker = DeadBroker()
    dispatcher = Dispatcher(replace(world.deps, delivery=broker))
    pause.resume(world.deps, dispatcher, "acme", "tenant", world.why())
    assert [world.state(run) for run in runs] == ["pending"] * 4
    assert broker.tried == 1
