"""What travels down the line: packets, evidence of frames, groups.

In: nothing. Out: the three frozen types that sources, codec and tokenizer hand to each other. Each carries media time
(seconds since the stream's first packet) and wall time (UTC epoch seconds).

Shape letters: R and C, macroblock rows and columns of a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

MEDIA_CLOCK_HZ = 90_000
"""Ticks per second of the media clock, RTP's clock for video (RFC 6184 5.1). Times from any container are brought to it, then
to whole milliseconds, so that a file and an RTSP camera that send the same packets give the same seconds, bit for bit."""

ClosedBy = Literal["quota", "max_span", "discontinuity", "forced", "end"]


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
    """Where the encoder spent its effort in one picture, and the picture itself.

    - `frame_id`: count in display order since the stream began.
    - `motion_px`, `residual`, `change`, `bits`: float32 [R, C] per macroblock: motion vector magnitude in luma pixels; mean absolute
      luma difference to the picture before, motion-compensated, and in place; bits that the slice data spent on it.
    - `levels`: float32 [R, C], sum of absolute quantised levels per macroblock, the residual as it was coded. This and `bits` are None
      where the slice data was not read, or could not be.
    - `mean_qp`: mean quantiser, or NaN when the stream does not tell.
    - `picture`: (width, height) -> uint8 [height, width, 3] RGB, resized when asked.
    """

    frame_id: int
    media_s: float
    wall_s: float
    picture_type: str
    packet_bytes: int
    mean_qp: float
    motion_px: np.ndarray
    residual: np.ndarray
    change: np.ndarray
    bits: np.ndarray | None
    levels: np.ndarray | None = None
    picture: Callable[[int, int], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An adaptive group of pictures: the frames between two cuts of the cost stream."""

    index: int
    start_s: float
    end_s: float
    cost: float
    frames: tuple[FrameEvidence, ...]
    closed_by: ClosedBy
