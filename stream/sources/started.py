"""A child that is a program of its own, and shares no memory: where the system cannot fork it from a template (`forked.py`).

In: the module that it runs. Out: a socket, and the process at its other end.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading


class StartedProcess:
    """`kill` and `wait` are for any thread."""

    def __init__(self, module: str, theirs: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs)],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs],
            start_new_session=True,  # Ctrl-C is for the service, which ends its children in order
        )
        self._ending = threading.Lock()

    @classmethod
    def start(cls, module: str) -> tuple[socket.socket, StartedProcess]:
        """Our end of the socket to it, and the process. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as undo, theirs:
            undo.enter_context(ours)
            process = cls(module, theirs.fileno())
            undo.pop_all()
        return ours, process

    def kill(self) -> int:
        """End it; returns its exit status."""
        with self._ending:
            self._process.kill()
            return self._process.wait()

    def wait(self, timeout_s: float) -> bool:
        """True when it has ended by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
            return True
        return False
