"""Messages over a socket between a process of ours and its owner: one, then its answer, then the next.

In: any object that can be pickled. Out: the same at the other end. A small message is one call of the system on each side, so that
whoever waits for one takes Python's lock once.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Any

_LENGTH = struct.Struct("!Q")
_TIME = struct.Struct("ll")
"""`struct timeval`, whole seconds and microseconds."""
_ROOM = 1 << 16
_LOOKS = 4
"""How often within its patience one looks whether the other end was heard elsewhere."""


class Channel:
    """Owns `sock`. `send` and `receive` raise `OSError` and `EOFError` once the other end has gone, `TimeoutError` where it takes or says
    nothing for `patience_s` (None waits for ever), and was not heard elsewhere either: `heard_s`, by `time.monotonic`. Nothing more can be said
    over it then."""

    def __init__(
        self, sock: socket.socket, *, patience_s: float | None = None, heard_s: Callable[[], float] = lambda: -math.inf
    ) -> None:
        self._sock = sock
        self._patience_s, self._heard_s = patience_s, heard_s
        self._room = bytearray(_ROOM)
        self._num_held = 0
        if patience_s is not None:  # of the system: Python's own would ask it twice
            time_ = _TIME.pack(*divmod(round(1e6 * patience_s / _LOOKS), 1_000_000))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time_)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, time_)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: object) -> None:
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        head, began_s = _LENGTH.pack(len(body)), time.monotonic()
        num_sent = self._within_patience(began_s, lambda: self._sock.sendmsg([head, body]))
        rest = memoryview(head + body)[num_sent:] if num_sent < len(head) + len(body) else memoryview(b"")
        while rest:
            rest = rest[self._within_patience(began_s, partial(self._sock.send, rest)) :]

    def receive(self) -> Any:
        began_s = time.monotonic()
        length = _LENGTH.size + _LENGTH.unpack(self._bytes(_LENGTH.size, began_s)[: _LENGTH.size])[0]
        message = pickle.loads(self._bytes(length, began_s)[_LENGTH.size : length])
        assert self._num_held == length, "channel: expected no other message before this one was answered"
        self._num_held = 0
        if length > _ROOM:  # that of a picture is not kept for every camera
            self._room = bytearray(_ROOM)
        return message

    def end(self) -> None:
        """From any thread: who waits at either end waits no longer. `close` is for the one that uses it."""
        with contextlib.suppress(OSError):  # the other end has gone
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._sock.close()

    def _bytes(self, num: int, began_s: float) -> memoryview:
        """What is held, once it is at least so many bytes."""
        if num > len(self._room):
            room = bytearray(num)
            room[: self._num_held] = memoryview(self._room)[: self._num_held]
            self._room = room
        while self._num_held < num:
            free = memoryview(self._room)[self._num_held :]
            got = self._within_patience(began_s, partial(self._sock.recv_into, free))
            if not got:
                raise EOFError("the other end has gone")
            self._num_held += got
        return memoryview(self._room)

    def _within_patience(self, began_s: float, call: Callable[[], int]) -> int:
        while True:
            try:
                return call()
            except BlockingIOError:
                assert self._patience_s is not None, "channel: expected a socket that blocks"
                if time.monotonic() - max(began_s, self._heard_s()) >= self._patience_s:
                    raise TimeoutError(f"nothing was said or taken for {self._patience_s:g} s") from None
