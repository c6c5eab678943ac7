"""Delivery inside one process: messages go to a pool of threads that execute runs.

Nothing is kept: if the process dies, pending runs are still pending in the store, and the next start publishes them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from headgate.delivery.port import DeliveryDown, Message


class EmbeddedDelivery:
    """`Delivery` by threads; as many runs at once as it has workers, the others wait in memory.

    What is published before `deliver_to` waits for it: a start cleans up what the last process left, and may publish
    meanwhile, but nothing is executed that the clean-up could take away.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="run")
        self._handle: Callable[[Message], object] | None = None
        self._failed: Callable[[Message, BaseException], None] | None = None
        self._begun = threading.Event()
        self._closed = threading.Event()

    def deliver_to(self, handle: Callable[[Message], object], failed: Callable[[Message, BaseException], None]) -> None:
        """Who executes messages, and who hears of one that could not be dealt with (the sweep publishes it again)."""
        self._handle, self._failed = handle, failed
        self._begun.set()

    def publish(self, message: Message, timeout: float) -> None:
        """See Delivery."""
        if self._closed.is_set():
            raise DeliveryDown("this process is stopping")
        try:
            self._pool.submit(self._deliver, message)
        except RuntimeError as error:  # the pool was shut down between the check and the hand-over
            raise DeliveryDown("this process is stopping") from error

    def ping(self, timeout: float) -> None:
        """See Delivery."""
        if self._closed.is_set():
            raise DeliveryDown("this process is stopping")

    def close(self) -> None:
        """See Delivery: what has not begun is dropped, what runs is left to its executor."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._begun.set()  # who waits for a beginning that will not come

    def _deliver(self, message: Message) -> None:
        self._begun.wait()
        if self._handle is None or self._failed is None:
            return  # closed before it began
        try:
            self._handle(message)
        except Exception as error:  # noqa: BLE001 - a thread's last stop: it is reported, and the sweep tries again
            self._failed(message, error)
