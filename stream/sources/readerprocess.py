"""The owner's side of a reader process: connections to files and RTSP cameras that can always be ended.

In: a URL. Out: `Sample`s. FFmpeg's own timeouts do not cover every way to hang (a name server, a peer that answers byte by byte), and
a crash in it would take the service along; a process can be killed. It is forked from a template where the system can (`forked.py`), else
started anew, for a fifth of a second; so it is kept between connections that ended in good order.
"""

from __future__ import annotations

import logging
import multiprocessing.connection
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from stream.errors import CodecError, SourceError, TooLargeError
from stream.sources.address import Address
from stream.sources.forked import Forker
from stream.sources.orders import QUIT, STOP, Ended, Failed, Opened, Order, Skipped
from stream.sources.sample import Sample

log = logging.getLogger(__name__)

GRACE_S = 0.5
"""How long a reader may take to say goodbye to the camera (some allow few sessions and count those that were left open)."""
LISTEN_S = 60.0
"""How long a reader listens before another takes its place: a publisher that connects and says nothing blocks it no longer."""
NEVER_S = 86_400.0
"""A timeout that does not run out before LISTEN_S."""
START_S = 10.0
"""Added to the timeout of an open: a busy machine may take this long to start a process."""


FORKER = Forker("stream.sources.reader")
"""Of this process's readers."""


class ReaderProcess:
    """One process, there at once. `send` and `receive` speak to it; `kill` ends it, whoever waits. Raises `OSError`: the system has none."""

    def __init__(self) -> None:
        ours, self._process = FORKER.start()
        self._pipe = multiprocessing.connection.Connection(ours.detach())

    def send(self, order: object) -> bool:
        """False when the process has gone."""
        try:
            self._pipe.send(order)
        except OSError:
            return False
        return True

    def receive(self, timeout_s: float | None) -> Any:
        """The next message. Raises `TimeoutError`, and `EOFError` when the process has gone."""
        try:
            if not self._pipe.poll(timeout_s):
                raise TimeoutError(f"nothing within {timeout_s} s")
            return self._pipe.recv()
        except ConnectionError:
            raise EOFError from None

    def kill(self) -> int | None:
        """End it; returns its exit status, None where nobody knows it any more."""
        return self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        """True when it has ended by itself."""
        return self._process.wait(timeout_s)

    def release(self) -> None:
        """Let the socket go, once nobody waits for it."""
        self._pipe.close()


class ReaderConnector:
    """Connects to a file, or to a camera that FFmpeg reads. `options`: keyword arguments of `open_source`."""

    def __init__(
        self,
        address: Address,
        options: Mapping[str, Any],
        *,
        timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._options = options
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._reader: ReaderProcess | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def waits(self) -> bool:
        return self._address.kind == "listen"

    @property
    def ends(self) -> bool:
        return not self._address.is_live

    def connect(self) -> ReaderConnection:
        reader = self._ready()
        timeout_s = NEVER_S if self.waits else self._timeout_s
        reader.send(Order(self._address.url, {**self._options, "timeout_s": timeout_s}))
        try:
            reply = reader.receive(LISTEN_S if self.waits else timeout_s + START_S)
        except TimeoutError:
            self.discard(reader)
            if self.waits:
                raise
            why = f"no answer within {timeout_s:g} s (timeout_s), and the reader hung: it was ended"
            raise SourceError(f"{self._address.shown}: {why}") from None
        except EOFError:
            raise self.lost(reader) from None
        if isinstance(reply, Failed):
            raise self.failed(reader, reply)
        assert isinstance(reply, Opened), f"reader: expected Opened or Failed, got {reply!r:.100}"
        return ReaderConnection(self, reader)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            reader = self._reader
        if reader is not None:
            reader.send(QUIT)
            if not reader.wait(GRACE_S):
                reader.kill()

    def discard(self, reader: ReaderProcess) -> int | None:
        """End a reader for good; returns its exit status, None where nobody knows it any more."""
        with self._lock:
            if self._reader is reader:
                self._reader = None
        status = reader.kill()
        reader.release()
        return status

    def failed(self, reader: ReaderProcess, reply: Failed) -> SourceError | CodecError:
        """The error for what a reader has told; one that read too much is replaced."""
        if reply.reason:
            self.discard(reader)
            return TooLargeError(reply.reason, reply.message)
        return CodecError(reply.message) if reply.kind == CodecError.__name__ else SourceError(reply.message)

    def lost(self, reader: ReaderProcess) -> SourceError:
        """The error for a reader that has gone by itself, or that `close` has ended."""
        status = self.discard(reader)
        shown = "unknown" if status is None else status
        why = "closed" if self._closed else f"the reader ended unexpectedly (exit status {shown})"
        return SourceError(f"{self._address.shown}: {why}")

    def _ready(self) -> ReaderProcess:
        with self._lock:
            if self._closed:
                raise SourceError(f"{self._address.shown}: closed")
            if self._reader is None:
                try:
                    self._reader = ReaderProcess()
                except OSError as error:
                    raise SourceError(f"{self._address.shown}: no process could be had to read it ({error})") from None
            return self._reader


class ReaderConnection:
    """One connection through a reader process. `get` is for one thread; `close` may be called by any, and twice."""

    def __init__(self, connector: ReaderConnector, reader: ReaderProcess) -> None:
        self.skipped: Counter[str] = Counter()
        self._connector = connector
        self._reader = reader
        self._over = False

    def get(self, timeout_s: float | None) -> Sample | None:
        while not self._over:
            try:
                message = self._reader.receive(timeout_s)
            except EOFError:
                self._over = True
                raise self._connector.lost(self._reader) from None
            if isinstance(message, Sample):
                return message
            if isinstance(message, Skipped):
                self.skipped = Counter(message.counts)
                continue
            self._over = True
            if isinstance(message, Failed):
                raise self._connector.failed(self._reader, message)
        return None

    def close(self) -> None:
        """By the thread that reads: the reader says goodbye, or is ended."""
        if self._over:
            return
        self._over = True
        until_s = time.monotonic() + GRACE_S
        self._reader.send(STOP)
        try:
            while not isinstance(self._reader.receive(max(0.0, until_s - time.monotonic())), Ended | Failed):
                pass
        except (TimeoutError, EOFError):
            self._connector.discard(self._reader)
