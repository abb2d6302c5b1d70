"""The one form of every answer that is not a word: seconds, intervals, lists, points, boxes, tracks.

In: numbers, coordinates in 0..1 across the picture. Out: text. Points, boxes and tracks are whole numbers in [0, 1000], x to the right and y
down; tracks and lists of starts have the published form. What reads them is permissive, as the published scorers are (trainer/evaluate).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

SCALE = 1000
"""Coordinates go from 0 to this across the picture."""
NOT_SEEN = "not seen"
"""The answer to what asks about something that was not there."""


def tenths(seconds: float) -> str:
    """`12.3 seconds`."""
    return f"{seconds:.1f} seconds"


def interval(start_s: float, end_s: float) -> str:
    """`3.2 - 9.6 seconds`."""
    return f"{start_s:.1f} - {end_s:.1f} seconds"


def starts(times_s: Iterable[float]) -> str:
    """`[0.28, 4.44, 5.00]`."""
    return f"[{', '.join(f'{t_s:.2f}' for t_s in times_s)}]"


def point(x: float, y: float) -> str:
    """`(512, 430)`."""
    return f"({_scaled(x)}, {_scaled(y)})"


def box(left: float, top: float, right: float, bottom: float) -> str:
    """`(100, 200, 300, 400)`, cut at the picture's edge."""
    return f"({', '.join(str(_scaled(value)) for value in (left, top, right, bottom))})"


def tracks(frames: Sequence[tuple[float, Mapping[int, tuple[float, float]]]], label: str) -> str:
    """`<tracks coords="t id x y [id x y ...]; t ...">label</tracks>`; frames are (seconds, points by number), those without points left out."""
    told = (
        " ".join([f"{t_s:.1f}", *(f"{ident} {_scaled(x)} {_scaled(y)}" for ident, (x, y) in sorted(points.items()))])
        for t_s, points in frames
        if points
    )
    return f'<tracks coords="{"; ".join(told)}">{label}</tracks>'


def _scaled(value: float) -> int:
    return round(min(1.0, max(0.0, value)) * SCALE)
