"""Boundary alerts of one camera: its packets through the parser of macroblocks and the detector.

In: packets in decode order. Out: changes of boundary events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from stream.codec.h264.slice_data import MacroblockParser
from stream.events.boundary import BoundaryDetector, BoundarySettings
from stream.events.event import Change
from stream.units import Packet


class Boundaries:
    """`push` for every packet, `reset` when the camera is away; belongs to one thread."""

    def __init__(self, camera: str, settings: BoundarySettings, *, clock: Callable[[], float] = time.time) -> None:
        self._detector = BoundaryDetector(camera, settings, clock=clock)
        self._macroblocks = MacroblockParser()

    def push(self, packet: Packet) -> list[Change]:
        return self._detector.push(packet, self._mean_qp(packet))

    def reset(self) -> list[Change]:
        """What was happening has ended."""
        return self._detector.reset()

    def _mean_qp(self, packet: Packet) -> float:
        """Over the macroblocks of a packet, NaN where they cannot be read."""
        frame = self._macroblocks.push(packet.data) if packet.codec == "h264" else None
        return float(frame.qp.mean()) if frame is not None and frame.is_whole else math.nan
