"""Media time: ticks of any container to seconds since the stream began, repaired where a camera's clock is not.

In: presentation ticks in decode order. Out: `Moment`. A file and a camera that send the same packets get the same seconds,
although RTP servers cut times down to the 90 kHz clock where files round. A gap or a jump is marked, and a jump is taken out:
media time goes on from where it was.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from stream.units import MEDIA_CLOCK_HZ

GAP_S = 2.0
"""A step ahead longer than this, or a step back longer than this (more than any reordering), is a discontinuity."""
LONGEST_GAP_S = 60.0
"""A step ahead up to this is believed (nothing was sent meanwhile); a longer one is a camera that set its clock."""
_TICKS_PER_MS = MEDIA_CLOCK_HZ // 1000
_ROUND_UP_TICKS = 34
"""Times become whole milliseconds; 34/90 is added before cutting. The frame times of 8, 10, 12, 12.5, 15, 16, 20, 24, 25, 30, 50
and 60 frames per second, and of 29.97, then lie more than a tick from the edge: a tick lost on the way changes nothing."""
_DEFAULT_STEP = MEDIA_CLOCK_HZ // 25
"""Step between frames until one has been seen."""


class Moment(NamedTuple):
    """Presentation time and its running maximum, media seconds; `discontinuity` as in `Packet`."""

    pts_s: float
    media_s: float
    discontinuity: bool


def to_media_ticks(ticks: int, time_base: Fraction) -> int:
    """Ticks of `time_base` to 90 kHz ticks, nearest, halves away from zero: FFmpeg's own rounding when it rescales."""
    denominator = time_base.denominator
    rounded = (2 * abs(ticks) * time_base.numerator * MEDIA_CLOCK_HZ + denominator) // (2 * denominator)
    return rounded if ticks >= 0 else -rounded


class MediaClock:
    """Media time of one camera. It outlives connections: after `reconnect` time goes on, and the first packet is marked."""

    def __init__(self) -> None:
        self._origin: int | None = None
        self._latest = 0
        self._step = _DEFAULT_STEP
        self._reanchor = False
        self._elapsed = 0
        self.num_jumps = 0

    def reconnect(self, elapsed_s: float) -> None:
        """The next packet comes from a new connection, `elapsed_s` after the last one."""
        if self._origin is not None:
            self._reanchor = True
            self._elapsed = round(elapsed_s * MEDIA_CLOCK_HZ)

    def moment(self, ticks: int | None, time_base: Fraction) -> Moment:
        """Time of the next packet in decode order. A packet without a time is one frame step after the latest."""
        if self._origin is None:
            self._origin = to_media_ticks(ticks or 0, time_base)
            return Moment(0.0, 0.0, discontinuity=False)
        at = self._latest + self._step if ticks is None else to_media_ticks(ticks, time_base) - self._origin
        step = at - self._latest
        jumped = self._reanchor or step > LONGEST_GAP_S * MEDIA_CLOCK_HZ or step < -GAP_S * MEDIA_CLOCK_HZ
        if jumped:
            resumed = self._latest + max(self._step, self._elapsed)
            self._origin += at - resumed
            at = resumed
            self.num_jumps += not self._reanchor
            self._reanchor, self._elapsed = False, 0
        elif 0 < step <= GAP_S * MEDIA_CLOCK_HZ:
            self._step = step
        discontinuity = jumped or step > GAP_S * MEDIA_CLOCK_HZ
        self._latest = max(self._latest, at)
        return Moment(_seconds(at), _seconds(self._latest), discontinuity)


def _seconds(ticks: int) -> float:
    return (ticks + _ROUND_UP_TICKS) // _TICKS_PER_MS / 1000
