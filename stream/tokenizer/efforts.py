"""The effort of packets, kept until their frames come out of the decoder.

In: packets in decode order. Out: what each frame costs, and whether something was active in it.
"""

from __future__ import annotations

from collections import OrderedDict

from stream.codec.decode import MAX_REORDER
from stream.codec.effort_reader import EffortReader, PictureEffort
from stream.codec.slice_reader import SliceReader
from stream.units import Packet

KEPT = 4 * MAX_REORDER
"""Packets whose frames may still come."""
NOT_READ = PictureEffort(None, False, 0.0)


class Efforts:
    """`see` every packet before it is decoded; `of` a packet whose frame has come, once."""

    def __init__(self) -> None:
        self.slices = SliceReader(with_vectors=True)
        self._reader = EffortReader(self.slices)
        self._waiting: OrderedDict[int, PictureEffort] = OrderedDict()
        self._mean_area = 0.0
        self._num_active = 0

    def see(self, packet: Packet) -> None:
        if packet.discontinuity:
            self._reader.restart()
        self._waiting[packet.pts] = self._reader.push(packet)
        while len(self._waiting) > KEPT:
            self._waiting.popitem(last=False)

    def of(self, packet: Packet) -> PictureEffort:
        return self._waiting.pop(packet.pts, NOT_READ)

    def cost(self, effort: PictureEffort) -> float:
        """Share of the picture at work, times seconds. Nobody knows what a picture that cannot be read would tell: it counts as a mean active
        one."""
        if effort.effort is None:
            return self._mean_area * effort.step_s if effort.is_unknown else 0.0
        area = effort.effort.area
        if effort.effort.is_active:
            self._num_active = min(self._num_active + 1, 1000)
            self._mean_area += (area - self._mean_area) / self._num_active
        return area * effort.step_s


def peak_of(effort: PictureEffort) -> float | None:
    """`Effort.peak`; None where the picture was not read."""
    if effort.effort is None:
        return 1.0 if effort.is_unknown else None
    return effort.effort.peak
