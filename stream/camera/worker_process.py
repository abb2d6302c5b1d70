"""The owner's side of one worker: a process that tokenizes the packets of several cameras (`worker.py`).

In: nothing. Out: for each camera a channel to it. One that dies or hangs is ended, told and counted once, and started again, after a pause
where that happens again and again. A camera at which it did so gets a worker of its own.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from stream.backoff import Backoff
from stream.camera.serving import NOBODY, Serving
from stream.camera.worker_messages import NUMBER, READY
from stream.sources.channel import Channel
from stream.sources.forked import ForkedProcess, Forker
from stream.sources.started import StartedProcess

log = logging.getLogger(__name__)

START_S = 600.0
"""A start compiles what is compiled, where nobody has done so before."""
HANGS_S = 15.0
"""A worker that is asked and answers nobody for so long hangs."""
GRACE_S = 1.0
"""What one has for ending by itself."""
MOST_APART = 4
"""Cameras of one worker that get another to themselves: where it dies at all of them, they are not why."""

FORKER = Forker("stream.camera.worker", start_s=START_S)
"""Of this process's workers."""


class WorkerLink(NamedTuple):
    """A camera's channel to a worker. `camera`: its number there; `process`: which of the processes that this worker has been."""

    channel: Channel
    camera: int
    process: int


class WorkerProcess:
    """One worker: whichever process it is now. For any thread.

    `heard_s`, told by its cameras: when it answered last, by `time.monotonic`; a busy one keeps a camera waiting and is well. `apart`: workers
    of cameras that it has died at."""

    def __init__(
        self,
        name: str,
        *,
        hangs_s: float = HANGS_S,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        is_apart: bool = False,
    ) -> None:
        self.apart: list[WorkerProcess] = []
        self.num_lost = 0
        self.heard_s = -math.inf
        self._name, self._hangs_s = name, hangs_s
        self._backoff = backoff or Backoff(first_s=0.1, longest_s=10.0)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._num_processes = self._num_cameras = 0
        self._is_apart = is_apart
        self._blamed = NOBODY
        self._serving: Serving | None = None
        self._process: ForkedProcess | StartedProcess | None = None
        self._control: socket.socket | None = None
        self._has_ended = False
        self._started_s = self._not_before_s = -math.inf

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Returns once it is ready, or cannot be had now."""
        with self._lock:
            self._ready()

    def link(self) -> WorkerLink | None:
        """A camera's own; None while it cannot be had: the worker has just died, more than once, or is no longer wanted."""
        with self._lock:
            control = self._ready()
            if control is None:
                return None
            self._num_cameras += 1
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    socket.send_fds(control, [NUMBER.pack(self._num_cameras)], [theirs.fileno()])
                except OSError:  # it has died meanwhile
                    ours.close()
                    self._lose()
                    return None
            channel = Channel(ours, patience_s=self._hangs_s, heard_s=lambda: self.heard_s)
            return WorkerLink(channel, self._num_cameras, self._num_processes)

    def lost(self, link: WorkerLink, error: Exception, camera: str) -> WorkerProcess:
        """A camera has no answer: the first to say so of a process ends it. Returns that camera's worker from now on: one of its own where this
        one was at its request, and is not alone with it already."""
        link.channel.close()
        with self._lock:
            if link.process == self._num_processes and self._process is not None:
                self._lose(f"no answer within {self._hangs_s:g} s" if isinstance(error, TimeoutError) else None)
            if self._is_apart or link.camera != self._blamed or len(self.apart) >= MOST_APART or self._has_ended:
                return self
            log.warning("%s: camera %s has a worker of its own from now on", self._name, camera)
            self.apart.append(WorkerProcess(f"worker of camera {camera}", hangs_s=self._hangs_s, is_apart=True))
            return self.apart[-1]

    def end(self) -> None:
        """For good."""
        for worker in self.apart:
            worker.end()
        with self._lock:
            self._has_ended = True
            process, self._process = self._process, None
            if self._control is not None:
                self._control.close()
            if process is not None and not process.wait(GRACE_S):
                process.kill()

    def _ready(self) -> socket.socket | None:
        if self._process is None and not self._has_ended and self._monotonic() >= self._not_before_s:
            try:
                self._start()
            except OSError as error:
                self._lose(f"cannot be started ({error})")
        return self._control if self._process is not None else None

    def _start(self) -> None:
        control, process = FORKER.start()
        self._serving = _ready(control)
        if self._serving is None:
            control.close()
            raise OSError(f"exit status {process.kill()}")
        self._control, self._process = control, process
        self._num_processes += 1
        self._started_s = self._monotonic()

    def _lose(self, why: str | None = None) -> None:
        """Told once, and counted; the cameras see their own sockets end."""
        process, self._process = self._process, None
        if self._control is not None:
            self._control.close()
        status = process.kill() if process is not None else None
        self.num_lost += 1
        self._blamed = self._serving.camera if self._serving is not None else NOBODY
        self._backoff.lasted(self._monotonic() - self._started_s)
        self._not_before_s = self._monotonic() + self._backoff.pause_s()
        told = why or f"ended unexpectedly (exit status {'unknown' if status is None else status})"
        log.error("%s: %s; it is started again, and its cameras begin new groups", self._name, told)


def _ready(control: socket.socket) -> Serving | None:
    """Once a worker is; None where it will not be."""
    control.settimeout(START_S)
    with contextlib.suppress(OSError):
        serving = Serving.give(control)
        if control.recv(len(READY)) == READY:
            return serving
    return None
