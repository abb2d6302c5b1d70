"""The life of one watch: margins in, an event's beginning, news and end out.

In: sightings, in order. Out: `Change`s under one id. Margins (log-odds that the sentence holds) must agree several times in a row, and begin
and end an event at different levels, so that a doubtful picture neither starts ten events nor cuts one in ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from stream.events.event import Change, Event, EventIds, Evidence
from stream.watch.settings import WatchSettings

SCORE_STEP = 0.05
"""A top score that has risen by less is no news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One judgement. `margin`: log-odds that the sentence holds. `time_s`: wall time of the newest frame judged, UTC epoch seconds, and
    `frame_age_ms` its age when the judgement was there. `evidence`: what was looked at."""

    margin: float
    time_s: float
    frame_age_ms: float
    evidence: tuple[Evidence, ...]


class Phase(StrEnum):
    OFF = "off"
    ON = "on"


class WatchLife:
    """`see` for every sighting; belongs to one thread."""

    def __init__(self, camera: str, name: str, settings: WatchSettings, ids: EventIds) -> None:
        self.camera, self.name, self.settings = camera, name, settings
        self.level: float | None = None
        self.event: Event | None = None
        self._ids = ids
        self._agreeing = 0
        self._since_s = 0.0
        self._ended_s = -math.inf
        self._told_s = 0.0
        self._told: Event | None = None

    @property
    def phase(self) -> Phase:
        return Phase.OFF if self.event is None else Phase.ON

    @property
    def probability(self) -> float | None:
        """What the newest judgement says, 0 to 1; None before the first."""
        return None if self.level is None else 1 / (1 + math.exp(-self.level))

    def see(self, sighting: Sighting) -> list[Change]:
        self.level = sighting.margin
        if self.event is None:
            return self._begin(sighting) if self._agree(self.level >= self.settings.begins_at, sighting) else []
        if self._agree(self.level <= self.settings.ends_at, sighting):
            return self._end(self._since_s, sighting)
        return self._update(sighting)

    def restore(self, event: Event) -> None:
        """Go on with an event that was under way when the service ended: it is still the same."""
        self.event = self._told = event
        self._told_s = event.frame_time

    def describe(self, event_id: str, caption: str) -> list[Change]:
        """What happened, in words; nothing once the event has ended."""
        if self.event is None or self.event.id != event_id:
            return []
        self.event = replace(self.event, caption=caption)
        return [self._tell("update", self.event)]

    def interrupt(self, time_s: float) -> list[Change]:
        """Nobody looks any more (the camera is away, the watch was taken off): the event ends with what was seen last."""
        self.level, self._agreeing = None, 0
        return self._end(time_s, None) if self.event is not None else []

    def _agree(self, holds: bool, sighting: Sighting) -> bool:
        """Whether enough judgements in a row, over a long enough time, say that something has changed."""
        if not holds:
            self._agreeing = 0
            return False
        if not self._agreeing:
            self._since_s = sighting.time_s
        self._agreeing += 1
        lasted = self.event is not None or (
            sighting.time_s - self._since_s >= self.settings.min_duration_s
            and sighting.time_s - self._ended_s >= self.settings.cool_down_s
        )
        return self._agreeing >= self.settings.confirm and lasted

    def _begin(self, sighting: Sighting) -> list[Change]:
        score = self._score()
        first = Event(
            id=self._ids.next(self._since_s),
            camera=self.camera,
            kind="watch",
            watch=self.name,
            label=self.settings.label or self.name,
            start_time=self._since_s,
            score=score,
            top_score=score,
            frame_time=sighting.time_s,
            frame_age_ms=sighting.frame_age_ms,
            evidence=sighting.evidence,
            severity=self.settings.severity,
        )
        self.event, self._agreeing = first, 0
        return [self._tell("new", first)]

    def _update(self, sighting: Sighting) -> list[Change]:
        assert self.event is not None
        assert self._told is not None
        score = self._score()
        self.event = replace(
            self.event,
            score=score,
            top_score=max(score, self.event.top_score),
            frame_time=sighting.time_s,
            frame_age_ms=sighting.frame_age_ms,
            evidence=sighting.evidence,
        )
        due = sighting.time_s - self._told_s >= self.settings.update_every_s
        if due and self.event.top_score >= self._told.top_score + SCORE_STEP:
            return [self._tell("update", self.event)]
        return []

    def _end(self, time_s: float, sighting: Sighting | None) -> list[Change]:
        assert self.event is not None
        ended = replace(self.event, end_time=max(time_s, self.event.start_time))
        if sighting is not None:
            ended = replace(ended, score=self._score(), frame_time=sighting.time_s, frame_age_ms=sighting.frame_age_ms)
        change = self._tell("end", ended)
        self.event, self._told, self._agreeing, self._ended_s = None, None, 0, ended.end_time or time_s
        return [change]

    def _score(self) -> float:
        return round(self.probability or 0.0, 4)

    def _tell(self, kind: str, after: Event) -> Change:
        before, self._told = self._told or after, after
        self._told_s = after.frame_time
        assert kind in ("new", "update", "end")
        return Change(kind, before, after)  # type: ignore[arg-type]
