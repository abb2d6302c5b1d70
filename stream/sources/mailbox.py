"""The bridge between a demuxing thread and the thread that reads: bounded, and frank about what it drops.

In: `Packet`s from one thread. Out: the same to another, and None at the end. When the reader is too slow the oldest packets go
first, up to the next one that decoding can start at, so that what is left can be decoded; the first packet after the hole is
marked as a discontinuity.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from stream.codec.codecs import starts_decoding
from stream.units import Packet

log = logging.getLogger(__name__)

_LOG_EVERY_S = 1.0


class Mailbox:
    """Holds at most `max_packets` packets and `max_bytes` bytes of them. `num_dropped` counts what the reader never saw."""

    def __init__(
        self,
        name: str = "",
        *,
        max_packets: int = 512,
        max_bytes: int = 64 << 20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.num_dropped = 0
        self._name = name
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self._packets: deque[Packet] = deque()
        self._num_bytes = 0
        self._broken = False
        self._closed = False
        self._changed = threading.Condition()
        self._next_log_s = 0.0
        self._unlogged = 0

    def __len__(self) -> int:
        return len(self._packets)

    def put(self, packet: Packet) -> None:
        """Never blocks. After `close` the packet is ignored."""
        with self._changed:
            if self._closed:
                return
            if len(self._packets) >= self._max_packets or self._num_bytes + len(packet.data) > self._max_bytes:
                self._drop_oldest()
            if self._broken and not self._packets:
                if not starts_decoding(packet):
                    self._count(1)
                    return
                packet = replace(packet, discontinuity=True)
                self._broken = False
            self._packets.append(packet)
            self._num_bytes += len(packet.data)
            self._changed.notify()

    def wait_for_room(self, timeout_s: float) -> bool:
        """For a sender that can wait (a file): True when a packet can be put without dropping any, or when closed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or 2 * len(self._packets) <= self._max_packets, timeout_s)

    def get(self, timeout_s: float | None = None) -> Packet | None:
        """The next packet; None once closed and empty. Raises `TimeoutError` when none comes in `timeout_s`."""
        packets = self.take(1, timeout_s)
        return packets[0] if packets else None

    def take(self, most: int, timeout_s: float | None = None) -> list[Packet]:
        """At most so many packets that are here, once there are any; none at all once closed and empty. Raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._packets or self._closed, timeout_s):
                raise TimeoutError(f"no packet within {timeout_s} s")
            packets = [self._packets.popleft() for _ in range(min(most, len(self._packets)))]
            self._num_bytes -= sum(len(packet.data) for packet in packets)
            self._changed.notify()
            return packets

    def close(self) -> None:
        """No more packets; the reader gets those that are here, then None. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _drop_oldest(self) -> None:
        """Drop up to the next packet that decoding can start at, or all."""
        num_before = len(self._packets)
        while self._packets:
            self._num_bytes -= len(self._packets.popleft().data)
            if self._packets and starts_decoding(self._packets[0]):
                self._packets[0] = replace(self._packets[0], discontinuity=True)
                break
        self._broken = not self._packets
        self._count(num_before - len(self._packets))

    def _count(self, num_dropped: int) -> None:
        self.num_dropped += num_dropped
        self._unlogged += num_dropped
        now_s = self._monotonic()
        if self._unlogged and now_s >= self._next_log_s:
            self._next_log_s = now_s + _LOG_EVERY_S
            log.warning("%s: reader is too slow, discarding %d packets", self._name or "mailbox", self._unlogged)
            self._unlogged = 0
