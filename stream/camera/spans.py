"""Which time a group covers, and what groups together show.

In: groups. Out: `Span`s, and evidence in wall time.
"""

from __future__ import annotations

from dataclasses import dataclass

from ov2.canvas import CanvasGroup
from stream.events.event import Evidence

GAP_S = 1.0
"""Groups further apart than this are told as separate evidence."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is remembered of a group."""

    start_s: float
    end_s: float
    wall_s: float
    frames: int


def span_of(group: CanvasGroup) -> Span:
    return Span(group.start_s, group.end_s, group.wall_s, len({seconds for seconds, _ in group.runs}))


def merged(spans: list[Span]) -> tuple[Evidence, ...]:
    """Consecutive groups as stretches of wall time."""
    joined: list[Evidence] = []
    last_end_s = float("-inf")
    for span in spans:
        start = span.wall_s - (span.end_s - span.start_s)
        if span.start_s - last_end_s <= GAP_S:
            joined[-1] = Evidence(start=joined[-1].start, end=span.wall_s, frames=joined[-1].frames + span.frames)
        else:
            joined.append(Evidence(start=start, end=span.wall_s, frames=span.frames))
        last_end_s = span.end_s
    return tuple(joined)
