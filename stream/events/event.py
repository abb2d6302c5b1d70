"""An event and its life cycle: what is published when something happens.

In: what a detector saw. Out: `Change` (new, update, end), whose `body()` is the JSON of the `events` topic.
The format is Frigate's habit: `{"type": ..., "before": {...}, "after": {...}}`, one id throughout.
"""

from __future__ import annotations

import random
import string
from dataclasses import asdict, dataclass
from typing import Any, Literal

ID_CHARACTERS = string.ascii_lowercase + string.digits
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an event or an answer rests on: `start` and `end` in UTC epoch seconds, and how many frames lie between."""

    start: float
    end: float
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in front of one camera. Times are UTC epoch seconds; `end_time` is None while it lasts."""

    id: str
    camera: str
    kind: Literal["boundary", "watch"]
    watch: str | None = None
    label: str
    start_time: float
    end_time: float | None = None
    score: float
    top_score: float
    caption: str | None = None
    frame_time: float
    frame_age_ms: float
    evidence: tuple[Evidence, ...]
    has_snapshot: bool = False
    has_clip: bool = False
    severity: Literal["detection", "alert"] = "detection"


@dataclass(frozen=True, slots=True)
class Change:
    """One step of an event's life. `before` is the event as it was last told, or at its first sign for `new`."""

    type: Literal["new", "update", "end"]
    before: Event
    after: Event

    def body(self) -> dict[str, Any]:
        """The JSON object of the `events` topic, and of the journal."""
        return {"type": self.type, "before": asdict(self.before), "after": asdict(self.after)}


class EventIds:
    """Ids `<epoch seconds>.<6 digits>-<6 characters>`; times strictly increase, so an id never repeats within a run, and the
    random characters keep two runs apart."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._random = source or random.SystemRandom()
        self._last = 0

    def next(self, time_s: float) -> str:
        self._last = max(self._last + 1, int(time_s * MICROSECONDS))
        seconds, micros = divmod(self._last, MICROSECONDS)
        return f"{seconds}.{micros:06d}-{''.join(self._random.choices(ID_CHARACTERS, k=6))}"
