"""The thread that keeps one camera's packets coming.

In: a URL. Out: `Packet`s in a `Mailbox`, closed at the end. A file is read once; a live source that breaks is opened again, with
growing pauses, and media time goes on across the break.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum
from urllib.parse import urlsplit

from stream.errors import StreamError
from stream.sources.address import parse_address
from stream.sources.mailbox import Mailbox
from stream.sources.mediaclock import MediaClock
from stream.sources.source import Source, open_source

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Pause before the second attempt to open a live source; it doubles up to the longest. Each is cut short by up to a quarter, so
that cameras behind one switch do not come back in step."""
_RTSP_PORT = 554
_KNOCK_S = 1.0


class PumpState(Enum):
    """Where a pump is in its life."""

    IDLE = "idle"
    CONNECTING = "connecting"
    STREAMING = "streaming"
    WAITING = "waiting"
    STOPPED = "stopped"


_ALLOWED = {
    PumpState.IDLE: {PumpState.CONNECTING, PumpState.STOPPED},
    PumpState.CONNECTING: {PumpState.STREAMING, PumpState.WAITING, PumpState.STOPPED},
    PumpState.STREAMING: {PumpState.WAITING, PumpState.STOPPED},
    PumpState.WAITING: {PumpState.CONNECTING, PumpState.STOPPED},
    PumpState.STOPPED: set[PumpState](),
}


class PacketPump:
    """`start`, then `stop` and `join`. The reader takes packets from `mailbox` until it gives None.

    `state`; `last_error` (redacted, None while all is well); `num_packets`; `num_connections`; `last_packet_s` (by `monotonic`,
    None before the first packet) may be read from any thread. `open_` takes the URL and the keyword arguments of `open_source`.
    """

    def __init__(
        self,
        url: str,
        mailbox: Mailbox,
        *,
        name: str = "",
        listen: bool = False,
        paced: bool = False,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        open_: Callable[..., Source] = open_source,
    ) -> None:
        self.address = parse_address(url, listen=listen)
        self.mailbox = mailbox
        self.state = PumpState.IDLE
        self.last_error: str | None = None
        self.num_packets = 0
        self.num_connections = 0
        self.last_packet_s: float | None = None
        self._name = name or self.address.shown
        self._open: Callable[[], Source] = lambda: open_(
            self.address.url,
            listen=self.address.kind == "listen",
            paced=paced,
            timeout_s=timeout_s,
            clock=clock,
            monotonic=monotonic,
            sleep=self._stopping.wait,
            media_clock=self._media_clock,
        )
        self._monotonic = monotonic
        self._media_clock = MediaClock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pump {self._name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; returns at once. It ends at the next packet, or when its timeout runs out."""
        self._stopping.set()
        if self.address.kind == "listen" and self.state is PumpState.CONNECTING:
            _knock(self.address.url)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread to end; True when it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        try:
            while not self._stopping.is_set():
                self._enter(PumpState.CONNECTING)
                num_before = self.num_packets
                self._connect()
                if not self.address.is_live or self._stopping.is_set():
                    break
                if self.num_packets > num_before:
                    pause_s = FIRST_PAUSE_S
                self._enter(PumpState.WAITING)
                if self.address.kind == "pull" or self.last_error is not None:
                    self._stopping.wait(pause_s * random.uniform(0.75, 1.0))
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            self._enter(PumpState.STOPPED)
            self.mailbox.close()

    def _connect(self) -> None:
        """One connection, from opening to its end or its error."""
        try:
            if self.last_packet_s is not None:
                self._media_clock.reconnect(self._monotonic() - self.last_packet_s)
            with self._open() as source:
                self._enter(PumpState.STREAMING)
                self.num_connections += 1
                for packet in source:
                    if self._stopping.is_set():
                        return
                    self.last_error = None
                    self.last_packet_s = self._monotonic()
                    self.num_packets += 1
                    self.mailbox.put(packet)
            self.last_error = None
            log.info("%s: the stream ended", self._name)
        except StreamError as error:
            if not self._stopping.is_set():
                self.last_error = str(error)
                log.warning("%s", error)

    def _enter(self, state: PumpState) -> None:
        assert state in _ALLOWED[self.state], f"pump: expected one of {_ALLOWED[self.state]} after {self.state}, got {state}"
        self.state = state


def _knock(url: str) -> None:
    """Connect to a listening socket of ours and leave, so that it stops waiting for a publisher."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or _RTSP_PORT), _KNOCK_S).close()
    except OSError as error:
        log.debug("%s:%s does not listen any more: %s", parts.hostname, parts.port, error)
