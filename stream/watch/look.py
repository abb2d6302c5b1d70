"""What a look at a camera told.

In: nothing. Out: `Look`, made by a camera's pipeline and read by the judge of watches.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.events.event import Evidence


@dataclass(frozen=True, slots=True)
class Look:
    """Sentences judged at one moment: `margins` in their order (log-odds), wall time (UTC epoch seconds) and age of the newest frame, and
    what was looked at last."""

    margins: tuple[float, ...]
    time_s: float
    frame_age_ms: float
    evidence: tuple[Evidence, ...]
