"""The effort of packets, kept until their frames come out of the decoder.

In: packets in decode order. Out: what each frame costs, whether something was active in it, and whether the stream tells at all: H.265,
interlaced pictures and pictures that are all coded on their own do not.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from stream.codec.codecs import codec_of
from stream.codec.decode import MAX_REORDER
from stream.codec.effort import SteadyEffort
from stream.codec.slice_reader import SliceReader
from stream.units import Packet

KEPT = 4 * MAX_REORDER
"""Packets whose frames may still come."""
BLIND_S, BLIND_PACKETS = 3.0, 10
"""A stream is blind once nothing could be read of it for so long, and of so many packets in a row; and sees again after so many samples."""
LARGEST_STEP_S = 2.0
USUAL_STEP_S = 0.2
"""That the first sample speaks for."""
MEMORY = 1000
"""Active samples over which the mean area is taken."""


@dataclass(frozen=True, slots=True)
class PictureEffort:
    """Of one packet. `effort`: None where the picture is no sample, or tells nothing. `is_unknown`: it should have told something and could
    not (another codec, interlaced, damaged), so that nobody knows whether something happened. `step_s`: media seconds since the sample
    before, which it speaks for."""

    effort: SteadyEffort | None
    is_unknown: bool
    step_s: float

    @property
    def peak(self) -> float | None:
        """`SteadyEffort.peak`; None of a picture that is no sample."""
        if self.effort is None:
            return 1.0 if self.is_unknown else None
        return self.effort.peak


NO_SAMPLE = PictureEffort(None, False, 0.0)


class Efforts:
    """`see` every packet before it is decoded; `of` a packet whose frame has come, once."""

    def __init__(self, slices: SliceReader) -> None:
        self._slices = slices
        self._sample_s = -math.inf
        self._waiting: OrderedDict[int, PictureEffort] = OrderedDict()
        self._mean_area = 0.0
        self._num_active = 0
        self._read_s: float | None = None
        self._num_unread = self._num_read = 0
        self.is_blind = False

    def see(self, packet: Packet) -> None:
        self._waiting[packet.pts] = self._measure(packet)
        while len(self._waiting) > KEPT:
            self._waiting.popitem(last=False)

    def of(self, packet: Packet) -> PictureEffort:
        return self._waiting.pop(packet.pts, NO_SAMPLE)

    def cost(self, picture: PictureEffort) -> float:
        """Share of the picture at work, times seconds. Nobody knows what a picture that cannot be read would tell: it counts as a mean active
        one."""
        if picture.effort is None:
            return self._mean_area * picture.step_s if picture.is_unknown else 0.0
        area = picture.effort.area
        if picture.effort.peak >= 1.0:
            self._num_active = min(self._num_active + 1, MEMORY)
            self._mean_area += (area - self._mean_area) / self._num_active
        return area * picture.step_s

    def _measure(self, packet: Packet) -> PictureEffort:
        if not codec_of(packet.codec).has_bits:
            self.is_blind = True
            return NO_SAMPLE
        slices = self._slices.of(packet)
        self._look(packet.pts_s, is_read=slices.is_sample and slices.effort() is not None)
        if not slices.is_sample:
            return NO_SAMPLE
        since_s = packet.pts_s - self._sample_s
        self._sample_s = packet.pts_s
        step_s = min(LARGEST_STEP_S, max(0.0, since_s)) if math.isfinite(since_s) else USUAL_STEP_S
        measured = slices.effort()
        effort = measured.steady if measured is not None else None
        return PictureEffort(effort, effort is None, step_s)

    def _look(self, pts_s: float, *, is_read: bool) -> None:
        """Whether the stream is blind."""
        if is_read or self._read_s is None:
            self._read_s = pts_s
        self._num_read = self._num_read + 1 if is_read else self._num_read
        self._num_unread = 0 if is_read else self._num_unread + 1
        if self._num_unread >= BLIND_PACKETS and pts_s - self._read_s >= BLIND_S:
            self.is_blind, self._num_read = True, 0
        elif self._num_read >= BLIND_PACKETS:
            self.is_blind = False
