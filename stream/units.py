"""What sources, codec and tokenizer hand to each other: packets, evidence of frames.

In: nothing. Out: the two frozen types. Packets carry media time (seconds since the stream's first packet) and wall time (UTC epoch seconds).

Shape letters: R and C, macroblock rows and columns of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

MEDIA_CLOCK_HZ = 90_000
"""Ticks per second of the media clock, RTP's clock for video (RFC 6184 5.1). Times from any container are brought to it, then
to whole milliseconds, so that a file and an RTSP camera that send the same packets give the same seconds, bit for bit."""

ClosedBy = Literal["quota", "max_span", "onset", "still", "discontinuity", "forced", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One access unit, as it came from the wire.

    - `data`: Annex B bytes, every NAL unit behind a four-byte start code, parameter sets in front of keyframes.
    - `pts`, `dts`: ticks of `time_base`; `dts` may be None (RTSP does not carry it).
    - `pts_s`: presentation time, media seconds (may step back with B-frames). `media_s`: the same, repaired to be monotone
      in decode order (the running maximum).
    - `size_bytes`: bytes of the slice NAL units alone (types 1 to 5), start codes included, so that a container that strips or
      repeats parameter sets does not change a cost.
    - `discontinuity`: the source saw a gap, a clock jump or a change of parameters right before this packet.
    """

    data: bytes
    pts: int
    dts: int | None
    time_base: Fraction
    pts_s: float
    media_s: float
    wall_s: float
    is_key: bool
    codec: str
    size_bytes: int
    width: int
    height: int
    discontinuity: bool = False

    def __post_init__(self) -> None:
        assert self.time_base.numerator > 0, f"time base: expected above zero, got {self.time_base}"
        assert self.size_bytes >= 0, f"size: expected at least zero, got {self.size_bytes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEvidence:
    """Where the encoder spent its effort in one picture: `picture_type` I, P or B, and float32 grids [R, C] per macroblock.

    - `motion_px`: motion vector magnitude in luma pixels.
    - `residual`, `change`: mean absolute luma difference to the picture before, motion-compensated, and in place.
    - `bits`: bits that the slice data spent on it; None where it was not read, or could not be.
    """

    picture_type: str
    motion_px: np.ndarray
    residual: np.ndarray
    change: np.ndarray
    bits: np.ndarray | None
