"""One actor's stay in the yard: where it walks, what it carries, when it jumps. Written by the director, read by the world.

Positions are picture coordinates: x of the middle, y of the feet, both 0..1. Times are seconds of the world.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from typing import Literal

from trainer.world.rope_bout import RopeBout

ActorKind = Literal["person", "car", "dog"]
Ease = Literal["even", "brake", "start"]

BEND_S = 0.9
"""Bending down to the parcel and up again; the parcel changes hands in the middle."""
DOORWAY_S = 0.5
"""Sideways step out of, or into, the open door."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A straight way from (x0, y0) at t0 to (x1, y1) at t1: at even speed, braking to a halt, or starting from one."""

    t0: float
    t1: float
    x0: float
    y0: float
    x1: float
    y1: float
    ease: Ease = "even"

    def at(self, t_s: float) -> tuple[float, float]:
        u = 1.0 if self.t1 <= self.t0 else min(1.0, max(0.0, (t_s - self.t0) / (self.t1 - self.t0)))
        s = u if self.ease == "even" else 1 - (1 - u) ** 2 if self.ease == "brake" else u * u
        return self.x0 + (self.x1 - self.x0) * s, self.y0 + (self.y1 - self.y0) * s

    def when_x(self, x: float) -> float:
        """The moment the way crosses `x`, which must lie on it."""
        s = (x - self.x0) / (self.x1 - self.x0)
        assert 0 <= s <= 1, f"expected x between {self.x0} and {self.x1}, got {x}"
        u = s if self.ease == "even" else 1 - math.sqrt(1 - s) if self.ease == "brake" else math.sqrt(s)
        return self.t0 + u * (self.t1 - self.t0)


@dataclass(frozen=True, slots=True)
class Bout:
    """Rope jumping: `num` turns of the rope from t0, `period_s` each; the feet leave the ground around the middle of a turn."""

    t0: float
    num: int
    period_s: float

    @property
    def t1(self) -> float:
        return self.t0 + self.num * self.period_s


@dataclass(slots=True)
class PresenceInterval:
    """A stay, still being written by the director (lists grow, `end_s` is infinite until the actor is sent away). Who has `rope_bouts` holds
    the rope all the time, and has no `bouts`."""

    kind: ActorKind
    ident: int
    colour: str
    look: int
    stature: float
    start_s: float
    x: float
    y: float
    facing: int
    end_s: float = math.inf
    free_at_s: float = 0.0
    slot: int = -1
    lane: int = -1
    legs: list[Leg] = field(default_factory=list)
    leg_starts: list[float] = field(default_factory=list)
    bouts: list[Bout] = field(default_factory=list)
    rope_bouts: list[RopeBout] = field(default_factory=list)
    carries: list[tuple[float, float]] = field(default_factory=list)
    bends: list[tuple[float, int]] = field(default_factory=list)
    doorways: list[tuple[float, float]] = field(default_factory=list)

    def go(self, t0: float, t1: float, x: float, y: float, ease: Ease = "even") -> Leg:
        """Append a way from where the actor is now; the actor is then at its end."""
        leg = Leg(t0, t1, self.x, self.y, x, y, ease)
        self.legs.append(leg)
        self.leg_starts.append(t0)
        self.x, self.y, self.free_at_s = x, y, t1
        return leg

    def leg_at(self, t_s: float) -> Leg | None:
        """The way begun last at `t_s`; None before the first."""
        index = bisect.bisect_right(self.leg_starts, t_s) - 1
        return self.legs[index] if index >= 0 else None

    def is_present(self, t_s: float) -> bool:
        return self.start_s <= t_s < self.end_s
