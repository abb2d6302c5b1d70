"""The process that others are forked from, readers say: it has loaded everything once, and a child has memory of its own only for what it
writes.

Run by `forked.py`: `python -m MODULE template CONTROL OWNER`. In, over the socket CONTROL: descriptors of a child's socket, of its lifeline
and of its working folder; never a URL. Out, over the lifeline: 0 and the child's handle (a pidfd), or why there is none; later its exit
status. It ends, and its children with it, when the process whose handle is OWNER does. It has one thread, since a fork takes no other along.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

NUMBER = struct.Struct("!i")
"""What is said over a lifeline: 0 or an error number; then the exit status, below zero that of a signal."""
NUM_DESCRIPTORS = 3
"""Those of a request."""
_NUM_STANDARD = 3
"""Standard input, output and error, which all share."""


class _Forked(NamedTuple):
    pid: int
    handle: int
    lifeline: socket.socket


class Template:
    """Forks until its owner ends. `control`: where requests come from; `owner`: the owner's handle."""

    def __init__(self, control: socket.socket, owner: int) -> None:
        self._control = control
        self._owner = owner
        self._children: dict[int, _Forked] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(owner, selectors.EVENT_READ)

    def run(self) -> int | None:
        """Returns in every child, with the descriptor of its socket; in the template with None, once the owner has gone."""
        gc.freeze()  # the first collection in a child would write to all that is shared
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._children:
                    self._ended(self._children.pop(key.fd))
                    continue
                descriptors = self._requested() if key.fd != self._owner else None
                if descriptors is None:
                    self._end()
                    return None
                if (child := self._fork(*descriptors)) is not None:
                    return child

    def _requested(self) -> list[int] | None:
        """None when nobody asks any more."""
        message, descriptors, _, _ = socket.recv_fds(self._control, 1, NUM_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return None
        assert len(descriptors) == NUM_DESCRIPTORS, f"template: expected {NUM_DESCRIPTORS} descriptors, got {descriptors}"
        return descriptors

    def _fork(self, child: int, line: int, folder: int) -> int | None:
        """None in the template; in the child the descriptor of its socket."""
        lifeline = socket.socket(fileno=line)
        try:
            pid = os.fork()
        except OSError as error:
            self._refused(lifeline, error)
        else:
            if not pid:
                lifeline.close()
                return self._become_child(child, folder)
            self._add(pid, lifeline)
        os.close(child)
        os.close(folder)
        return None

    def _become_child(self, child: int, folder: int) -> int:
        """As a process that was just started: in a session and a folder of its own, holding nothing that is another's."""
        os.setsid()
        os.fchdir(folder)
        self._let_go()
        for name in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            if name >= _NUM_STANDARD and name != child:
                with contextlib.suppress(OSError):  # that of the listing
                    os.close(name)
        return child

    def _let_go(self) -> None:
        """By those who hold them: one who did not know would close the number again, when it is FFmpeg's."""
        self._selector.close()
        self._control.close()
        for child in self._children.values():
            child.lifeline.close()

    def _add(self, pid: int, lifeline: socket.socket) -> None:
        try:
            handle = os.pidfd_open(pid)
        except OSError as error:  # no descriptor is left
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._refused(lifeline, error)
            return
        self._children[handle] = _Forked(pid, handle, lifeline)
        self._selector.register(handle, selectors.EVENT_READ)
        with contextlib.suppress(OSError):  # whoever asked is no longer interested, and the child sees its own socket end
            socket.send_fds(lifeline, [NUMBER.pack(0)], [handle])

    def _refused(self, lifeline: socket.socket, error: OSError) -> None:
        with lifeline, contextlib.suppress(OSError):
            lifeline.send(NUMBER.pack(error.errno))

    def _ended(self, child: _Forked) -> None:
        _, status = os.waitpid(child.pid, 0)
        self._selector.unregister(child.handle)
        os.close(child.handle)
        with child.lifeline, contextlib.suppress(OSError):
            child.lifeline.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))

    def _end(self) -> None:
        """A child sees by itself that its owner has gone, unless it is stopped."""
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)


def run(arguments: Sequence[str], serve: Callable[[int], None]) -> None:
    """The main function of a module whose processes are forked where the system can. `arguments`: FD, or `template CONTROL OWNER`; `serve`
    is given the descriptor of a socket."""
    if arguments[0] != "template":
        serve(int(arguments[0]))
        return
    control, owner = map(int, arguments[1:])
    child = Template(socket.socket(fileno=control), owner).run()
    if child is not None:
        serve(child)
        os._exit(0)  # what would be tidied up is the template's
