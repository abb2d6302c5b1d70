"""What may be set of a watch, from YAML, HTTP, MQTT or the command line: one class for all.

In: a mapping. Out: `WatchSettings`, or pydantic's `ValidationError`, which names the setting.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from stream.quantities import Real, Whole
from stream.watch.schedule import Schedule
from stream.watch.zone import Polygon, check_polygon

LONGEST_SENTENCE = 400
"""Characters."""
MOST_POLYGONS = 8
TAKEN = frozenset({"boundary", "watching", "session", "status", "state", "snapshot"})
"""Words that stand where a watch's name stands in MQTT topics."""


def _is_free(name: str) -> str:
    if name in TAKEN:
        raise ValueError(f"expected a name that no topic has, got {name!r}; taken are {', '.join(sorted(TAKEN))}")
    return name


WatchName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$"), AfterValidator(_is_free)]
"""A watch's name is a part of MQTT topics and of entity ids."""


class WatchSettings(BaseModel):
    """One sentence that is watched for.

    The judgement is a probability: what the model's yes/no margin says, calibrated. An event begins when it stays at or above `threshold`
    for `confirm` judgements and `min_duration_s`; it ends when it stays at or below `release` for as many.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentence: str = Field(
        min_length=1, max_length=LONGEST_SENTENCE, description="what to watch for, in your words, or a question"
    )
    enabled: bool = True
    threshold: Real = Field(default=0.5, gt=0, lt=1, description="probability from which it holds")
    release: Real = Field(default=0.05, gt=0, lt=1, description="probability down to which it holds no longer")
    confirm: Whole = Field(default=2, ge=1, le=100, description="judgements in a row that must agree")
    min_duration_s: Real = Field(default=0.0, ge=0, description="how long it must hold before it is told")
    cool_down_s: Real = Field(default=2.0, ge=0, description="least time from the end of an event to the next")
    update_every_s: Real = Field(default=5.0, gt=0, description="least time between two updates of an event that lasts")
    schedule: tuple[str, ...] = Field(
        default=(), description='when it is armed, local time: "mon-fri 08:00-18:00"; empty: always'
    )
    zone: tuple[tuple[tuple[Real, Real], ...], ...] = Field(
        default=(),
        max_length=MOST_POLYGONS,
        description="polygons of [x, y] from 0 to 1; what is outside all of them does not count",
    )
    severity: Literal["detection", "alert"] = "alert"
    label: str | None = Field(
        default=None, max_length=64, description="short name for notifications; the watch's own when empty"
    )

    @field_validator("sentence")
    @classmethod
    def _is_text(cls, sentence: str) -> str:
        sentence = sentence.strip()
        if not sentence:
            raise ValueError("expected some text, got none")
        bad = next((char for char in sentence if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co")), None)
        if bad is not None:
            raise ValueError(f"expected plain text, got the control character U+{ord(bad):04X}")
        return sentence

    @field_validator("schedule")
    @classmethod
    def _can_be_read(cls, schedule: tuple[str, ...]) -> tuple[str, ...]:
        Schedule(schedule)
        return schedule

    @field_validator("zone")
    @classmethod
    def _is_an_area(cls, zone: tuple[Polygon, ...]) -> tuple[Polygon, ...]:
        for polygon in zone:
            check_polygon(polygon)
        return zone

    @model_validator(mode="after")
    def _has_hysteresis(self) -> Self:
        if self.release > self.threshold:
            raise ValueError(f"release: expected at most threshold ({self.threshold}), got {self.release}")
        return self

    @property
    def begins_at(self) -> float:
        """`threshold` as log-odds."""
        return math.log(self.threshold / (1 - self.threshold))

    @property
    def ends_at(self) -> float:
        """`release` as log-odds."""
        return math.log(self.release / (1 - self.release))
