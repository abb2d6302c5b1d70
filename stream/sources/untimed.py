"""Presentation times that FFmpeg's RTSP demuxer leaves out, found again.

A publisher that sends an RTCP sender report before its first picture gets that picture without a time, and the others counted
from the report (FFmpeg 8.0, rtpdec). Every packet carries its producer's reference time, though, which is the RTP time in
microseconds of wall clock; differences of it are differences of presentation time.

In: PyAV packets in decode order. Out: the same packets, with `pts` set wherever it can be known.
"""

from __future__ import annotations

import struct

import av

_PRFT = struct.Struct("=q")
"""AVProducerReferenceTime begins with the wall clock in microseconds."""
MICROSECONDS = 1_000_000
MAX_HELD, MAX_HELD_BYTES = 8, 16 << 20
"""Untimed packets held for a timed one, and their bytes; after that they go on as they are."""


class TimeFinder:
    """Sets missing times of one connection's packets from their neighbours."""

    def __init__(self) -> None:
        self._anchor: tuple[int, int] | None = None
        self._held: list[av.Packet[av.VideoStream]] = []

    def push(self, packet: av.Packet[av.VideoStream]) -> list[av.Packet[av.VideoStream]]:
        """Packets whose time is settled, in order. Untimed ones at the very start wait for the first timed one."""
        reference = reference_us(packet)
        if packet.pts is None:
            if self._anchor is None and reference is not None and self._has_room(packet.size):
                self._held.append(packet)
                return []
            self._settle(packet, reference)
        elif reference is not None:
            self._anchor = (packet.pts, reference)
        return [*self.flush(), packet]

    def _has_room(self, num_bytes: int) -> bool:
        held_bytes = sum(packet.size for packet in self._held)
        return len(self._held) < MAX_HELD and held_bytes + num_bytes <= MAX_HELD_BYTES

    def flush(self) -> list[av.Packet[av.VideoStream]]:
        """What is still held, timed if by now it can be."""
        held, self._held = self._held, []
        for packet in held:
            self._settle(packet, reference_us(packet))
        return held

    def _settle(self, packet: av.Packet[av.VideoStream], reference: int | None) -> None:
        if self._anchor is not None and reference is not None and packet.time_base:
            pts, anchor = self._anchor
            packet.pts = pts + round((reference - anchor) / (packet.time_base * MICROSECONDS))


def reference_us(packet: av.Packet[av.VideoStream]) -> int | None:
    """The sender's wall clock at this picture, microseconds since 1970, where RTCP sender reports tell it."""
    if not packet.has_sidedata("prft"):
        return None
    return int(_PRFT.unpack_from(bytes(packet.get_sidedata("prft")))[0])
