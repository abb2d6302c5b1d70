"""A camera's own packets, kept at hand for viewers.

In: `Packet`s from the camera's thread. Out: `Viewer`s in the event loop, each of which gets packets from a keyframe on. A viewer that is
too slow skips to the next keyframe. With no viewers a packet costs one append.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from stream.units import MEDIA_CLOCK_HZ, Packet

log = logging.getLogger(__name__)

LIVE_S = 5.0
"""A camera that sent nothing for so long is not live, to a viewer who asks."""
CATCH_UP_TICKS = MEDIA_CLOCK_HZ // 1000
"""Time between two packets of the past, as a new viewer gets them: quickly, else it would stay that much behind."""


class Timed(NamedTuple):
    """A packet and the RTP time it is sent with."""

    packet: Packet
    ticks: int


class Viewer:
    """The queue of one viewer. `give` from the camera's thread, `get` in the event loop; `close` ends a `get` with None."""

    def __init__(self, past: list[Packet], *, max_packets: int) -> None:
        self.num_skipped = 0
        self._loop = asyncio.get_running_loop()
        self._max_packets = max_packets
        newest = _ticks(past[-1]) if past else 0
        last = len(past) - 1
        self._queue = deque(Timed(packet, newest - (last - index) * CATCH_UP_TICKS) for index, packet in enumerate(past))
        self._needs_key = not past
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def give(self, packet: Packet) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed, and the viewer with it
            self._loop.call_soon_threadsafe(self._put, packet)

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def get(self) -> Timed | None:
        while not self._queue and not self._closed:
            self._waiter = self._loop.create_future()
            await self._waiter
        return None if self._closed else self._queue.popleft()

    def _put(self, packet: Packet) -> None:
        if len(self._queue) >= self._max_packets and not self._needs_key:
            self.num_skipped += len(self._queue)
            self._queue.clear()
            self._needs_key = True
        if self._needs_key and not packet.is_key:
            self.num_skipped += 1
            return
        self._needs_key = False
        self._queue.append(Timed(packet, _ticks(packet)))
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class LiveView:
    """`push` every packet of one camera. `want_key` is called when a viewer needs a keyframe; who publishes can be asked."""

    def __init__(
        self, name: str, *, kept_s: float, kept_bytes: int, viewer_packets: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.codec = ""
        self.want_key: Callable[[], None] = lambda: None
        self._kept_s = kept_s
        self._kept_bytes = kept_bytes
        self._viewer_packets = viewer_packets
        self._monotonic = monotonic
        self._kept: list[Packet] = []
        self._num_bytes = 0
        self._viewers: tuple[Viewer, ...] = ()
        self._pushed_s = float("-inf")
        self._told_reordering = False
        self._lock = threading.Lock()

    @property
    def is_live(self) -> bool:
        return self._monotonic() - self._pushed_s < LIVE_S

    @property
    def profile(self) -> str:
        """Profile and constraints of the stream's SPS in hexadecimal; empty when none is kept."""
        kept = self._kept
        at = kept[0].data.find(b"\x00\x00\x01\x67") if kept else -1
        return kept[0].data[at + 4 : at + 6].hex() if at >= 0 else ""

    def push(self, packet: Packet) -> None:
        self.codec = packet.codec
        self._pushed_s = self._monotonic()
        with self._lock:
            self._keep(packet)
            viewers = self._viewers
        for viewer in viewers:
            viewer.give(packet)
        if viewers and packet.pts_s < packet.media_s and not self._told_reordering:
            self._told_reordering = True
            log.warning(
                "camera %s: has B-frames, which WebRTC players show out of order; set the camera's encoder to none", self.name
            )

    def _keep(self, packet: Packet) -> None:
        if packet.is_key:
            self._kept, self._num_bytes = [], 0
        elif not self._kept:
            return
        self._kept.append(packet)
        self._num_bytes += len(packet.data)
        if self._num_bytes > self._kept_bytes or packet.media_s - self._kept[0].media_s > self._kept_s:
            self._kept, self._num_bytes = [], 0

    def attach(self) -> Viewer:
        """A new viewer, in the event loop; it begins at the last keyframe, else waits for the next."""
        with self._lock:
            viewer = Viewer(list(self._kept), max_packets=max(self._viewer_packets, len(self._kept) + 1))
            self._viewers = (*self._viewers, viewer)
            waits = not self._kept
        if waits:
            self.want_key()
        return viewer

    def detach(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers = tuple(each for each in self._viewers if each is not viewer)
        viewer.close()


def _ticks(packet: Packet) -> int:
    return round(packet.pts_s * MEDIA_CLOCK_HZ)
