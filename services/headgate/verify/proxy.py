"""A network that lies: a TCP proxy on 127.0.0.1 that drops, delays, resets, refuses and swallows, when told to.

What it swallowed cannot be given back, so when a fault ends the connections that lost bytes are reset, as a network
that heals would have it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from enum import StrEnum
from types import TracebackType
from typing import Self

CHUNK = 65536
CONNECT_SECONDS = 5.0
_LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER on with 0 s: closing sends a reset."""


class Fault(StrEnum):
    """What the network does."""

    NONE = "none"
    DROP_REQUESTS = "drop requests"
    DROP_REPLIES = "drop replies"
    DELAY = "delay"
    RESET = "reset"
    """A request arrives; in place of its reply the connection is reset."""
    HALF_OPEN = "half-open"
    """The far side of each open connection is gone and the near one does not learn it; new connections work."""
    BLACK_HOLE = "black hole"
    REFUSE = "refuse"


SWALLOWS_REQUESTS = frozenset({Fault.DROP_REQUESTS, Fault.BLACK_HOLE})
SWALLOWS_REPLIES = frozenset({Fault.DROP_REPLIES, Fault.BLACK_HOLE})


class _Pair:
    """One connection: its two ends, whether bytes of it were swallowed, whether its far end is gone unnoticed."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        self.torn = False
        self.lost = False

    def reset(self) -> None:
        """Both ends are told by a reset."""
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):  # it is closed already
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it; the close alone would not
            end.close()

    def lose_far_end(self) -> None:
        """The server's end goes; the client's stays and hears nothing."""
        self.torn = self.lost = True
        with contextlib.suppress(OSError):  # it is closed already
            self.far.shutdown(socket.SHUT_RDWR)


class Proxy:
    """`host` in front of `target` (both `host:port`). Use as a context, or close."""

    def __init__(self, target: str) -> None:
        name, _, port = target.rpartition(":")
        self._target = (name, int(port))
        self._fault = Fault.NONE
        self._seconds = 0.0
        self._lock = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._closed = False
        self._listener = self._listen(0)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def set(self, fault: Fault, seconds: float = 0.0) -> None:
        """From now on the network does this; `seconds` is how long DELAY holds up each piece."""
        with self._lock:
            before, self._fault, self._seconds = self._fault, fault, seconds
            pairs = list(self._pairs)
        if fault is Fault.REFUSE:
            self._stop_listening()
        elif before is Fault.REFUSE:
            self._listener = self._listen(int(self.host.rpartition(":")[2]))
        for pair in pairs:
            if fault is Fault.REFUSE or (fault is Fault.NONE and pair.torn):
                pair.reset()
            elif fault is Fault.HALF_OPEN:
                pair.lose_far_end()

    def close(self) -> None:
        """Stop, and reset what is open."""
        self._closed = True
        self._stop_listening()
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()

    # --- connections

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), name="proxy", daemon=True).start()
        return listener

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):  # it does not listen
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # it was closed
            threading.Thread(target=self._serve, args=(near,), name="proxy", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        """One connection, until one end is closed."""
        try:
            far = socket.create_connection(self._target, timeout=CONNECT_SECONDS)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(near, far)
        with self._lock:
            self._pairs.add(pair)
        back = threading.Thread(target=self._pump, args=(pair, far, near, SWALLOWS_REPLIES), name="proxy", daemon=True)
        back.start()
        self._pump(pair, near, far, SWALLOWS_REQUESTS)
        back.join()
        near.close()
        far.close()
        with self._lock:
            self._pairs.discard(pair)

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket, swallows: frozenset[Fault]) -> None:
        """Bytes of one direction. The end of a connection that lost its far side is kept from the client."""
        with contextlib.suppress(OSError):  # either end was reset: so is the other, below
            while data := source.recv(CHUNK):
                if self._fault is Fault.DELAY:
                    time.sleep(self._seconds)
                if pair.lost or self._fault in swallows:
                    pair.torn = True
                elif self._fault is Fault.RESET and source is pair.far:
                    break
                else:
                    sink.sendall(data)
        if not pair.lost:
            pair.reset()
