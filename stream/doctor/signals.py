"""What evidence the stream gives of where it changed, and how much it does change.

In: an `Examination` and the codec. Out: `Signals`.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

from stream.codec.codecs import codec_of
from stream.doctor.examine import Examination

LEAST_SHARE = 0.5
"""Of the pictures that could tell, so many must."""
STILL, BUSY = 0.25, 0.85
"""Shares of the canvases beyond the first that groups filled, up to which a scene is still, and from which it is busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """- `level`: `full` with motion vectors, quantisers and bits per macroblock. `missing`: which are not there, and why.
    - `motion`: how busy the scene was; `filled`: share of the canvases beyond a group's first that it filled; `motion_px`: median over
      pictures of the mean length of their vectors, None without any."""

    level: Literal["full", "reduced", "none"]
    missing: dict[str, str]
    motion: Literal["still", "some motion", "busy", "unknown"]
    filled: float | None
    motion_px: float | None


def signals_of(codec: str, seen: Examination) -> Signals:
    missing = _missing(codec, seen)
    most = (seen.plan.settings.canvases_per_group or 1) - 1
    filled = statistics.mean((count - 1) / most for count in seen.canvases) if seen.canvases and most else None
    lengths = [frame.motion_px for frame in seen.frames if frame.motion_px is not None]
    return Signals(
        level="none" if not seen.frames else "reduced" if missing else "full",
        missing=missing,
        motion="unknown" if filled is None else "still" if filled <= STILL else "busy" if filled >= BUSY else "some motion",
        filled=filled,
        motion_px=statistics.median(lengths) if lengths else None,
    )


def _missing(codec: str, seen: Examination) -> dict[str, str]:
    if not seen.frames:
        return {}
    found: dict[str, str] = {}
    tells_none = f"{codec} tells none"
    moving = [frame for frame in seen.frames if frame.type in ("P", "B")]
    if not moving:
        found["vectors"] = "every picture is coded on its own"
    elif sum(frame.motion_px is not None for frame in moving) < LEAST_SHARE * len(moving):
        found["vectors"] = tells_none
    if sum(frame.qp == frame.qp for frame in seen.frames) < LEAST_SHARE * len(seen.frames):
        found["quantisers"] = tells_none
    tried = [frame.readable for frame in seen.frames if frame.readable is not None]
    if not codec_of(codec).has_bits:
        found["bits"] = tells_none
    elif sum(tried) < LEAST_SHARE * len(tried):
        found["bits"] = max(seen.unread, key=lambda reason: seen.unread[reason], default="unreadable")
    return found
