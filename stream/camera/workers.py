"""The owner's side of workers: processes that tokenize the packets of several cameras each (`worker.py`).

In: how many. Out: for each camera a channel to its worker. A worker that dies or hangs is ended, told and counted once, and started again,
after a pause where that happens again and again; the cameras of the others notice nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from stream.backoff import Backoff
from stream.camera.tokenizing import warm_up
from stream.camera.worker_messages import NEW_CAMERA, READY
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

FORKER = Forker("stream.camera.worker", start_s=START_S)
"""Of this process's workers."""


class WorkerLink(NamedTuple):
    """A camera's channel to a worker. `number`: which of the processes that this worker has been."""

    channel: Channel
    number: int


class WorkerProcess:
    """One worker: whichever process it is now. For any thread. `heard_s`, told by its cameras: when it answered last, by `time.monotonic`; a
    busy one keeps a camera waiting and is well."""

    def __init__(
        self,
        name: str,
        *,
        hangs_s: float = HANGS_S,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.num_lost = 0
        self.heard_s = -math.inf
        self._name, self._hangs_s = name, hangs_s
        self._backoff = backoff or Backoff(first_s=0.1, longest_s=10.0)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._number = 0
        self._process: ForkedProcess | StartedProcess | None = None
        self._control: socket.socket | None = None
        self._has_ended = False
        self._started_s = self._not_before_s = -math.inf

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Returns once it is ready. Raises `OSError`."""
        with self._lock:
            self._control = self._ready()

    def link(self) -> WorkerLink | None:
        """A camera's own; None while it cannot be had: the worker has just died, more than once, or is no longer wanted."""
        with self._lock:
            try:
                control = self._ready()
            except OSError as error:
                self._lose(f"cannot be started ({error})")
                return None
            if control is None:
                return None
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    socket.send_fds(control, [NEW_CAMERA], [theirs.fileno()])
                except OSError:  # it has died meanwhile
                    ours.close()
                    self._lose()
                    return None
            return WorkerLink(Channel(ours, patience_s=self._hangs_s, heard_s=lambda: self.heard_s), self._number)

    def lost(self, link: WorkerLink, error: Exception) -> None:
        """A camera has no answer: the first to say so of a process ends it."""
        link.channel.close()
        with self._lock:
            if link.number == self._number and self._process is not None:
                self._lose(f"no answer within {self._hangs_s:g} s" if isinstance(error, TimeoutError) else None)

    def end(self) -> None:
        """For good."""
        with self._lock:
            self._has_ended = True
            process, self._process = self._process, None
            if self._control is not None:
                self._control.close()
            if process is not None and not process.wait(GRACE_S):
                process.kill()

    def _ready(self) -> socket.socket | None:
        if self._process is None and not self._has_ended and self._monotonic() >= self._not_before_s:
            control, process = FORKER.start()
            if not _is_ready(control):
                control.close()
                raise OSError(f"exit status {process.kill()}")
            self._control, self._process = control, process
            self._number += 1
            self._started_s = self._monotonic()
        return self._control if self._process is not None else None

    def _lose(self, why: str | None = None) -> None:
        """Told once, and counted; the cameras see their own sockets end."""
        process, self._process = self._process, None
        if self._control is not None:
            self._control.close()
        status = process.kill() if process is not None else None
        self.num_lost += 1
        self._backoff.lasted(self._monotonic() - self._started_s)
        self._not_before_s = self._monotonic() + self._backoff.pause_s()
        told = why or f"ended unexpectedly (exit status {'unknown' if status is None else status})"
        log.error("%s: %s; it is started again, and its cameras begin new groups", self._name, told)


class Workers:
    """`num` of them; None: as many as there are cores beside the model's, at least one, and no more than cameras; 0: cameras are tokenized in
    this process. `start`, then `end`."""

    def __init__(self, num: int | None, *, num_cameras: int) -> None:
        planned = min(max(1, _num_cores() - 1), num_cameras) if num is None else num
        self._workers = [WorkerProcess(f"worker {number}") for number in range(planned)]
        self._turns = itertools.cycle(self._workers)

    def next(self) -> WorkerProcess | None:
        """That of one camera more: they take turns. None where there are none."""
        return next(self._turns, None)

    def figures(self) -> dict[str, int]:
        """How many run, and how often one died or hung."""
        running = sum(worker.is_running for worker in self._workers)
        return {"running": running, "lost": sum(worker.num_lost for worker in self._workers)}

    def start(self) -> None:
        """Returns once all are ready, and what is compiled is loaded where it runs. Raises `OSError`."""
        for worker in self._workers:
            worker.start()
        if not self._workers:
            warm_up()

    def end(self) -> None:
        for worker in self._workers:
            worker.end()


def _num_cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_ready(control: socket.socket) -> bool:
    control.settimeout(START_S)
    with contextlib.suppress(OSError):
        return control.recv(len(READY)) == READY
    return False
