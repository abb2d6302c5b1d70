"""Where a camera's supervisor meets its publisher: samples cross from the event loop to a camera's thread.

In: `Sample`s and the end of a session, from the event loop. Out: a `Connector` whose connections are publishers. When the reader is too
slow the oldest samples go first, up to the next one that decoding can start at; that one is marked as broken. What goes is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from stream.codec.codecs import starts_decoding
from stream.errors import SourceError, TooLargeError
from stream.sources.sample import Sample

log = logging.getLogger(__name__)

MAX_BYTES = 64 << 20
LOG_EVERY_S = 1.0
CONNECT_S = 1.0
"""How long `connect` waits at a time; whoever waits may then say that it does."""
SLOW = "slow_reader"


class WhipConnection:
    """One publisher, as a `Connection`. `put` and `end` are for the event loop, the rest for the camera's thread.

    - `count`: what was left out before it came here, by reason.
    - `ask_key`: called by `put` when samples were dropped. `on_close`: called once, by whoever closes first; not after `end`.
    """

    def __init__(
        self,
        name: str,
        *,
        max_samples: int,
        count: Callable[[], Counter[str]],
        ask_key: Callable[[], None] = lambda: None,
        on_close: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._max_samples = max_samples
        self._count = count
        self._ask_key = ask_key
        self._on_close = on_close
        self._monotonic = monotonic
        self._samples: deque[Sample] = deque()
        self._num_bytes = 0
        self._dropped: Counter[str] = Counter()
        self._unlogged = 0
        self._next_log_s = float("-inf")
        self._broken = False
        self._ended = False
        self._closed = False
        self._failure: str | None = None
        self._reason = ""
        self._changed = threading.Condition()

    @property
    def skipped(self) -> Counter[str]:
        return self._count() + self._dropped

    def put(self, sample: Sample) -> None:
        """Never blocks. After the end or `close` the sample is ignored."""
        with self._changed:
            if self._ended or self._closed:
                return
            is_full = len(self._samples) >= self._max_samples or self._num_bytes + len(sample.data) > MAX_BYTES
            if is_full:
                self._drop_oldest()
            if self._take(sample):
                self._changed.notify()
        if is_full or self._broken:
            self._ask_key()

    def _take(self, sample: Sample) -> bool:
        if self._broken:
            if not starts_decoding(sample):
                self._tell_dropped(1)
                return False
            sample, self._broken = sample._replace(breaks=True), False
        self._samples.append(sample)
        self._num_bytes += len(sample.data)
        return True

    def _drop_oldest(self) -> None:
        """Up to the next sample that decoding can start at, or all."""
        num_before = len(self._samples)
        while self._samples:
            self._num_bytes -= len(self._samples.popleft().data)
            if self._samples and starts_decoding(self._samples[0]):
                self._samples[0] = self._samples[0]._replace(breaks=True)
                break
        self._broken = not self._samples
        self._tell_dropped(num_before - len(self._samples))

    def _tell_dropped(self, num: int) -> None:
        self._dropped[SLOW] += num
        self._unlogged += num
        if (now_s := self._monotonic()) >= self._next_log_s:
            self._next_log_s = now_s + LOG_EVERY_S
            log.warning("camera %s: reader is too slow, discarding %d pictures of its publisher", self._name, self._unlogged)
            self._unlogged = 0

    def end(self, failure: str | None = None, reason: str = "") -> None:
        """No more samples; the reader gets those that are here, then the end, or the failure as a `SourceError`; with a `reason`, as a
        `TooLargeError`."""
        with self._changed:
            if not self._ended:
                self._ended, self._failure, self._reason = True, failure, reason
            self._changed.notify_all()

    def get(self, timeout_s: float | None) -> Sample | None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._samples or self._ended or self._closed, timeout_s):
                raise TimeoutError(f"no picture within {timeout_s} s")
            if self._closed:
                return None
            if self._samples:
                sample = self._samples.popleft()
                self._num_bytes -= len(sample.data)
                return sample
            if self._failure is not None:
                text = f"camera {self._name}: {self._failure}"
                raise TooLargeError(self._reason, text) if self._reason else SourceError(text)
            return None

    def close(self) -> None:
        with self._changed:
            is_first = not (self._closed or self._ended)
            self._closed = True
            self._samples.clear()
            self._num_bytes = 0
            self._changed.notify_all()
        if is_first:
            self._on_close()


class WhipDoor:
    """The `Connector` of one camera that is published to. `offer` and `withdraw` are for the event loop."""

    waits = True
    ends = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._offered: WhipConnection | None = None
        self._inside: WhipConnection | None = None
        self._closed = False
        self._changed = threading.Condition()

    def connect(self) -> WhipConnection:
        """A publisher whose first picture has come. Raises `TimeoutError` when none has for a while, `SourceError` once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._offered is not None or self._closed, CONNECT_S)
            if self._closed:
                raise SourceError(f"camera {self.name}: closed while waiting for a publisher")
            if self._offered is None:
                raise TimeoutError("no publisher has come yet")
            self._inside, self._offered = self._offered, None
            return self._inside

    def close(self) -> None:
        """For good: a `connect` or `get` that waits ends at once, the publisher's session too."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            connections = [each for each in (self._inside, self._offered) if each is not None]
        for connection in connections:
            connection.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def offer(self, connection: WhipConnection) -> None:
        """The newest publisher is the one to connect to."""
        with self._changed:
            self._offered = connection
            self._changed.notify_all()

    def withdraw(self, connection: WhipConnection) -> None:
        """A publisher that has left. Whoever is connected to it still gets what came before."""
        with self._changed:
            if self._offered is connection:
                self._offered = None
