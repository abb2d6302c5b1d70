"""The socket on which the service listens.

In: a host and a port. Out: a listening socket, or `StartError`."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from stream.serve.errors import StartError

if TYPE_CHECKING:
    pass


BACKLOG = 1024
"""Connections that may wait to be taken; the system may allow fewer."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 finds a free one. Raises `StartError` when it cannot be had."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
        listening.close()
        number = error.errno if isinstance(error, OSError) else None
        why = os.strerror(number).lower() if number and number > 0 else str(error)
        raise StartError(f"server: expected to listen on {host}:{port}, got: {why}; set server.port or --port") from None
    return listening
