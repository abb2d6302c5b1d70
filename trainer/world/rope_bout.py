"""Rope jumping turn by turn, as in a film of somebody who exercises: a tempo that wavers, turns that fail, rests between.

In: turns, written by the director. Out: where the rope is, how high the feet are, which jumps are done, at any time. Between turns the rope
hangs behind the legs; every turn begins there, which is the moment that JumpScore calls the start of a jump. The rope then rises behind
the back, passes over the head, comes down in front and goes under the feet. A turn that fails ends at the shins: the rope is stuck there,
and swung back the way it came; it is no jump.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

PERIOD_S = (0.45, 1.1)
"""The shortest and the longest turn."""
SHINS = 0.84
"""Part of a turn after which the rope is before the shins."""
BACK_S = 0.7
"""How long it takes to swing the rope back."""
AIR = (0.72, 1.0)
"""Parts of a turn between which the feet are off the ground; the rope passes under them at 0.92."""
HOP = (0.07, 0.13)
"""Height of a hop over the height of the person, at the shortest and the longest period."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the rope from `t0` on. `stuck_s`: how long it is stuck at the shins, 0 for a jump."""

    t0: float
    period_s: float
    stuck_s: float = 0.0

    @property
    def is_jump(self) -> bool:
        return not self.stuck_s

    @property
    def t1(self) -> float:
        return self.t0 + (self.period_s if self.is_jump else SHINS * self.period_s + self.stuck_s + BACK_S)

    def phase_at(self, t_s: float) -> float:
        """Part of the turn that the rope has gone, 0 to 1."""
        part = (t_s - self.t0) / self.period_s
        if self.is_jump:
            return part
        back = (self.t1 - t_s) / BACK_S
        return max(0.0, SHINS * min(1.0, part / SHINS, back))

    def hop_at(self, t_s: float) -> float:
        """Feet above ground over body height."""
        u = (self.phase_at(t_s) - AIR[0]) / (AIR[1] - AIR[0])
        if not self.is_jump or not 0 < u < 1:
            return 0.0
        slow = (self.period_s - PERIOD_S[0]) / (PERIOD_S[1] - PERIOD_S[0])
        return (HOP[0] + (HOP[1] - HOP[0]) * slow) * 4 * u * (1 - u)


@dataclass(frozen=True, slots=True)
class RopeBout:
    """Turns in order of time that do not overlap."""

    turns: tuple[Turn, ...]

    @property
    def t0(self) -> float:
        return self.turns[0].t0

    @property
    def t1(self) -> float:
        return self.turns[-1].t1

    @property
    def starts_s(self) -> tuple[float, ...]:
        """Starts of its jumps."""
        return tuple(turn.t0 for turn in self.turns if turn.is_jump)

    def turn_at(self, t_s: float) -> Turn | None:
        """The turn under way; None while the rope hangs."""
        index = bisect.bisect_right(self.turns, t_s, key=lambda turn: turn.t0) - 1
        return self.turns[index] if index >= 0 and t_s < self.turns[index].t1 else None

    def num_done(self, t_s: float) -> int:
        """Jumps that are over."""
        return sum(turn.is_jump and turn.t1 <= t_s for turn in self.turns)
