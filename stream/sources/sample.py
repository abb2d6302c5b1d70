"""What every connection gives, whatever carried it: access units with the times as they came.

In: nothing. Out: `Sample`, which a `Timekeeper` turns into a `Packet`. RTSP, files and WebRTC make them; only here do ways in meet.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class Sample(NamedTuple):
    """One access unit and its times, not repaired yet.

    - `data`, `is_key`, `codec`, `size_bytes`, `width`, `height`: as in `Packet`.
    - `pts`, `dts`: ticks of `time_base` as the sender gave them; None where it did not.
    - `arrival_s`: UTC epoch seconds when its last byte came (a file's: when it was read).
    - `reported_s`: UTC epoch seconds of this picture by the sender's own clock (RTCP sender reports), None where it tells none.
    - `breaks`: something is missing right before it, or the picture size changes here.
    """

    data: bytes
    pts: int | None
    dts: int | None
    time_base: Fraction
    arrival_s: float
    reported_s: float | None
    is_key: bool
    codec: str
    size_bytes: int
    width: int
    height: int
    breaks: bool = False
