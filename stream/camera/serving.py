"""Whom a worker serves right now, in memory that it shares with its owner: should it die or hang, its owner knows at whose request.

In: numbers of cameras, by the worker. Out: the last of them, for the owner. It is a file without a name.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import tempfile

NOBODY = 0
_CAMERA = struct.Struct("!I")
_HERE = b"\2"


class Serving:
    """Both have one over the same memory."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _CAMERA.size)

    @classmethod
    def give(cls, worker: socket.socket) -> Serving:
        """The owner's. Raises `OSError`."""
        with tempfile.TemporaryFile() as file:
            file.write(_CAMERA.pack(NOBODY))
            file.flush()
            socket.send_fds(worker, [_HERE], [file.fileno()])
            return cls(file.fileno())

    @classmethod
    def take(cls, owner: socket.socket) -> Serving:
        """The worker's. Raises `EOFError` where the owner has gone."""
        message, descriptors, _, _ = socket.recv_fds(owner, len(_HERE), 1, socket.MSG_CMSG_CLOEXEC)
        if not message:
            raise EOFError
        [descriptor] = descriptors
        try:
            return cls(descriptor)
        finally:
            os.close(descriptor)

    @property
    def camera(self) -> int:
        return int(_CAMERA.unpack_from(self._memory)[0])

    @camera.setter
    def camera(self, number: int) -> None:
        _CAMERA.pack_into(self._memory, 0, number)
