"""Which pictures of a stream are read for their effort, and what each tells.

In: packets in decode order. Out: `PictureEffort`. Whole grids of at most `MOST_PER_S` pictures a second are read, of all only in the second
after a change, so that a quiet camera costs a fraction of reading everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stream.codec.codecs import codec_of
from stream.codec.effort import Effort, EffortMeter
from stream.codec.slice_reader import SliceReader
from stream.units import Packet

MOST_PER_S = 5.0
AFTER_CHANGE_S = 1.0
EARLY_S = 0.005
"""Times are whole milliseconds: a picture may be so much too early."""
USUAL_STEP_S = 0.1
"""Between a picture and the one that it refers to, where nothing is known of it."""
LARGEST_STEP_S = 2.0


@dataclass(frozen=True, slots=True)
class PictureEffort:
    """Of one packet. `effort`: None where the picture was not read, is no P picture, or tells nothing. `is_unknown`: it should have told
    something and could not (another codec, interlaced, damaged), so that nobody knows whether something happened. `step_s`: media seconds since
    the picture that was read before, which it speaks for."""

    effort: Effort | None
    is_unknown: bool
    step_s: float


class EffortReader:
    """Of one stream. `restart` where the stream breaks. `slices` must read vectors."""

    def __init__(self, slices: SliceReader) -> None:
        self._slices = slices
        self._meter = EffortMeter()
        self.restart()

    def restart(self) -> None:
        self._meter.restart()
        self._reference_s = self._read_s = self._changed_s = -math.inf
        self._is_active = False

    def push(self, packet: Packet) -> PictureEffort:
        codec, slices = codec_of(packet.codec), self._slices.of(packet)  # every packet: it may bring parameter sets
        step_s = min(LARGEST_STEP_S, max(0.0, packet.pts_s - self._read_s)) if math.isfinite(self._read_s) else USUAL_STEP_S
        if not codec.has_bits:
            self._read_s = packet.pts_s
            return PictureEffort(None, True, step_s)
        if not codec.is_reference(packet.data):
            return PictureEffort(None, False, 0.0)
        before_s, self._reference_s = self._reference_s, packet.pts_s
        if packet.is_key or not self._is_due(packet.pts_s):
            return PictureEffort(None, False, 0.0)
        grids = slices.grids()
        if grids is None or not grids.is_whole:
            self._read_s = packet.pts_s
            return PictureEffort(None, True, step_s)
        if grids.picture_type != "P" or grids.vectors is None:
            return PictureEffort(None, False, 0.0)
        self._read_s = packet.pts_s
        behind_s = packet.pts_s - before_s
        effort = self._meter.push(grids, min(LARGEST_STEP_S, behind_s) if behind_s > 0 else USUAL_STEP_S)
        if effort.is_active != self._is_active:
            self._is_active, self._changed_s = effort.is_active, packet.pts_s
        return PictureEffort(effort, False, step_s)

    def _is_due(self, pts_s: float) -> bool:
        recent = pts_s - self._changed_s < AFTER_CHANGE_S
        return recent or not pts_s - self._read_s < 1 / MOST_PER_S - EARLY_S
