"""Handing pending runs to workers. A message is a run's id, its fence and correlation; nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What travels: which attempt of which run may start. Duplicates, delays and reordering are harmless (fence)."""

    run_id: str
    fence: int
    attributes: Mapping[str, str] = field(default_factory=dict)


class DeliveryDown(Exception):
    """The broker did not take the message. The run stays pending; the sweep publishes it again when it is overdue."""


class Delivery(Protocol):
    """Where messages go."""

    def publish(self, message: Message, timeout: float) -> None:
        """Hand the message over, at least once. Raises DeliveryDown within `timeout` seconds."""

    def ping(self, timeout: float) -> None:
        """Raises DeliveryDown unless a message would be taken now."""

    def close(self) -> None:
        """Stop; what is handed over is not waited for."""
