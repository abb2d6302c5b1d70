"""TCP ports of this machine: one that is free, and whether somebody listens on one."""

from __future__ import annotations

import contextlib
import socket

HOST = "127.0.0.1"
CONNECT_S = 1.0


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int, hello: bytes = b"", reply: bytes = b"") -> bool:
    """Whether somebody listens, and, told hello, replies so."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=CONNECT_S) as connection:
        if not hello:
            return True
        connection.sendall(hello)
        return connection.recv(64).startswith(reply)
    return False
