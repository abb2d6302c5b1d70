"""Messages over a socket between a process of ours and its owner: one, then its answer, then the next.

In: any object that can be pickled. Out: the same at the other end. A small message is one call of the system on each side, so that
whoever waits for one takes Python's lock once.
"""

from __future__ import annotations

import contextlib
import pickle
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!Q")
_TIME = struct.Struct("ll")
"""`struct timeval`, whole seconds and microseconds."""
_ROOM = 1 << 16


class Channel:
    """Owns `sock`. `send` and `receive` raise `OSError` and `EOFError` once the other end has gone, `TimeoutError` where it takes or says
    nothing for `patience_s` (None waits for ever); nothing more can be said over it then."""

    def __init__(self, sock: socket.socket, *, patience_s: float | None = None) -> None:
        self._sock = sock
        self._room = bytearray(_ROOM)
        self._num_held = 0
        if patience_s is not None:  # of the system: Python's own would ask it twice
            time = _TIME.pack(*divmod(round(1e6 * patience_s), 1_000_000))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, time)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: object) -> None:
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        head = _LENGTH.pack(len(body))
        try:
            num_sent = self._sock.sendmsg([head, body])
            if num_sent < len(head) + len(body):
                self._sock.sendall((head + body)[num_sent:])
        except BlockingIOError:
            raise TimeoutError("nothing was taken in time") from None

    def receive(self) -> Any:
        length = _LENGTH.size + _LENGTH.unpack(self._bytes(_LENGTH.size)[: _LENGTH.size])[0]
        message = pickle.loads(self._bytes(length)[_LENGTH.size : length])
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

    def _bytes(self, num: int) -> memoryview:
        """What is held, once it is at least so many bytes."""
        if num > len(self._room):
            room = bytearray(num)
            room[: self._num_held] = memoryview(self._room)[: self._num_held]
            self._room = room
        while self._num_held < num:
            try:
                got = self._sock.recv_into(memoryview(self._room)[self._num_held :])
            except BlockingIOError:
                raise TimeoutError("nothing was said in time") from None
            if not got:
                raise EOFError("the other end has gone")
            self._num_held += got
        return memoryview(self._room)
