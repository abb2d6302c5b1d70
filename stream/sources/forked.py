"""The owner's side of processes that are forked from a template (`template.py`): one template per owner and kind, and a handle of every child.

In: the module that they run. Out: a socket, and the `ForkedProcess` at its other end; where the system cannot fork (`can_fork`), the
`StartedProcess` there.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from stream.sources.started import StartedProcess
from stream.sources.template import NUMBER

_FORK_S = 20.0
"""A template that has forked nothing by then, its own start included, hangs."""
_TELL_S = 2.0
"""One that has not told by then how a child ended hangs, too."""
_END_S = 2.0
"""What a template has for ending in order."""
_NUM_TRIES = 2
"""A template may have died since; one that was just started has not."""
_NO_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Of NumPy's, which these processes do not need."""


def can_fork() -> bool:
    """False on systems without handles of processes, and in containers that forbid them."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        handle = os.pidfd_open(os.getpid())
    except OSError:
        return False
    try:
        signal.pidfd_send_signal(handle, 0)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


class ForkedProcess:
    """A child of the template. `kill` and `wait` are for any thread."""

    def __init__(self, lifeline: socket.socket, handle: int) -> None:
        self._lifeline = lifeline
        self._handle = handle
        self._lock = threading.Lock()
        self._is_over = False
        self._status: int | None = None

    def kill(self) -> int | None:
        """End it; returns its exit status, None where the template died before it could tell."""
        with self._lock:
            if not self._is_over:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)
                _ends(self._handle, None)
                self._bury()
            return self._status

    def wait(self, timeout_s: float) -> bool:
        """True when it has ended by itself."""
        with self._copy() as handle:
            if handle is not None and not _ends(handle, timeout_s):
                return False
        with self._lock:
            if not self._is_over:
                self._bury()
        return True

    @contextmanager
    def _copy(self) -> Iterator[int | None]:
        """A handle that nobody else closes; None when it is over."""
        with self._lock:
            handle = None if self._is_over else os.dup(self._handle)
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)

    def _bury(self) -> None:
        self._lifeline.settimeout(_TELL_S)
        with self._lifeline, suppress(OSError):  # a template that hangs
            if told := self._lifeline.recv(NUMBER.size):
                (self._status,) = NUMBER.unpack(told)
        if self._status is None:
            self._status = _adopted_status(self._handle)
        os.close(self._handle)
        self._is_over = True


class TemplateProcess:
    """One running template, of this process: of `module`, which may take `start_s` until the first is forked."""

    def __init__(self, module: str, start_s: float) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._patience_s = max(start_s, _FORK_S)
        self._control.settimeout(self._patience_s)
        self._asking = threading.Lock()
        owner = os.pidfd_open(os.getpid())
        descriptors = theirs.fileno(), owner
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, "template", *map(str, descriptors)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=descriptors,
                    start_new_session=True,  # Ctrl-C is for the service, which ends its children in order
                    env={**os.environ, **_NO_THREADS},
                )
        except OSError:
            self._control.close()
            raise
        finally:
            os.close(owner)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def fork(self) -> tuple[socket.socket, ForkedProcess]:
        """Raises `OSError` where the system gives no process; where the template is at fault `EOFError`, `ConnectionError`, `TimeoutError`."""
        with ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.enter_context(ours)
            with theirs:
                lifeline, line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                undo.enter_context(lifeline)
                with line:
                    self._ask(theirs.fileno(), line.fileno())
            handle = _handle(lifeline, self._patience_s)
            self._patience_s = _FORK_S
            undo.pop_all()
        return ours, ForkedProcess(lifeline, handle)

    def end(self) -> None:
        """In order: its children end with it."""
        self._close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Its children go on."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _ask(self, child: int, line: int) -> None:
        folder = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            with self._asking:
                if self._control.fileno() < 0:
                    raise EOFError("the template has been ended meanwhile")
                socket.send_fds(self._control, [b"\0"], [child, line, folder])
        finally:
            os.close(folder)

    def _close(self) -> None:
        with self._asking:
            self._control.close()


class Forker:
    """Whichever template of `module` this process has: started for the first child, anew where it has died. `start_s`: how long its start may
    take, if that is long."""

    def __init__(self, module: str, *, start_s: float = 0.0) -> None:
        self._module, self._start_s = module, start_s
        self._lock = threading.Lock()
        self._template: TemplateProcess | None = None

    def start(self) -> tuple[socket.socket, ForkedProcess | StartedProcess]:
        """A process, and our end of the socket to it: forked where the system can. Raises `OSError`."""
        return self.fork() if can_fork() else StartedProcess.start(self._module)

    def fork(self) -> tuple[socket.socket, ForkedProcess]:
        """Raises `OSError`."""
        for _ in range(_NUM_TRIES):
            template = self._running()
            with suppress(EOFError, ConnectionError, TimeoutError):
                return template.fork()
            template.kill()
        raise OSError(f"expected a template of {self._module} that forks within {_FORK_S:g} s, got none in {_NUM_TRIES} tries")

    def end(self) -> None:
        """At the end of this process at the latest."""
        atexit.unregister(self.end)
        with self._lock:
            if self._template is not None:
                self._template.end()
            self._template = None

    def _running(self) -> TemplateProcess:
        with self._lock:
            if self._template is not None and not self._template.is_running:
                self._template.kill()
                self._template = None
            if self._template is None:
                self._template = TemplateProcess(self._module, self._start_s)
                atexit.unregister(self.end)
                atexit.register(self.end)
            return self._template


def _ends(handle: int, timeout_s: float | None) -> bool:
    """True once the process has ended."""
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return bool(waiting.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000))


def _adopted_status(handle: int) -> int | None:
    """Of a child whose template has died: known where orphans come to this process, as they do to the first of a container."""
    try:
        ended = os.waitid(os.P_PIDFD, handle, os.WEXITED)
    except ChildProcessError:
        return None
    return None if ended is None else ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _handle(lifeline: socket.socket, patience_s: float) -> int:
    """What a template answers."""
    lifeline.settimeout(patience_s)
    told, handles, _, _ = socket.recv_fds(lifeline, NUMBER.size, 1, socket.MSG_CMSG_CLOEXEC)
    if not told:
        raise EOFError("the template ended")
    number = NUMBER.unpack(told)[0] or (0 if handles else errno.EMFILE)
    if number:
        raise OSError(number, os.strerror(number))
    return handles[0]
