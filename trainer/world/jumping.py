"""The director of a JumpScore film: one person jumps rope before a house, in bouts, at a tempo of their own, and trips now and then.

In: a layout, a random generator, the film's length. Out: the same script as `Director` writes. The person stands on the lawn, near the
camera and seen from the side, from the beginning to the end; a dog or somebody else may stand and watch, farther away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trainer.world import layout as place
from trainer.world.layout import Layout
from trainer.world.rope_bout import PERIOD_S, RopeBout, Turn
from trainer.world.stage import Stage

FILM_S = (30.0, 60.0)
FILM_FPS = (15, 20, 24, 25, 30)
NUM_JUMPS = (5, 30)
BOUT_JUMPS = (2, 12)
TEMPO_S = (0.5, 1.0)
"""Mean period of a film's turns; a bout and each turn differ from it, within `PERIOD_S`."""
PAUSE_LEAST_S = 0.8
FIRST_S, LAST_S = (0.8, 3.0), 1.0
"""The first jump starts about then; after the last one the film goes on for so long at least."""
TRIPS = 0.3
"""Part of the bouts that end with a turn that fails."""
JUMPER_X, JUMPER_Y = (250.0, 390.0), 287.0
"""Where the jumper stands, drawing pixels."""
STATURE = (1.1, 1.35)
"""Over that of people farther away: the jumper fills half of the picture's height."""


@dataclass(frozen=True, slots=True)
class JumpFilm:
    """How the film of a seed is made."""

    duration_s: float
    fps: int


def jump_film(seed: int) -> JumpFilm:
    """Length and rate of a seed's JumpScore film."""
    rng = np.random.default_rng([seed, 0x4B])
    return JumpFilm(round(float(rng.uniform(*FILM_S)), 1), int(rng.choice(FILM_FPS)))


class JumpDirector(Stage):
    """Writes the script of a film of `film_s` seconds, all of it at once; nothing happens after it."""

    def __init__(self, layout: Layout, rng: np.random.Generator, film_s: float) -> None:
        self.film_s = film_s
        super().__init__(layout, rng)

    def run_until(self, until_s: float) -> None:
        """Everything is written from the beginning."""

    def _set_stage(self) -> None:
        self.last_event_s, self.cursor_s = -math.inf, math.inf
        jumper = self._cast("person", 0.0, 0.0, 0.0)
        jumper.slot = 2  # where bystanders do not stand
        jumper.stature = float(self.rng.uniform(*STATURE))
        jumper.x, jumper.y = self.layout.place(float(self.rng.uniform(*JUMPER_X)), JUMPER_Y)
        jumper.go(0.0, 0.0, jumper.x, jumper.y)
        for bout in self._bouts():
            jumper.rope_bouts.append(bout)
            self._log("person_jumped", bout.t1, start_s=bout.t0, actor=jumper, num_jumps=len(bout.starts_s))
        self._watchers()

    def _watchers(self) -> None:
        """Who else is there stands still."""
        if self.rng.random() < 0.3:
            other = self._cast("person", 0.0, 0.0, 0.0)
            self._take_place(other)
            other.x, other.y = self._slot_xy(other)
            other.go(0.0, 0.0, other.x, other.y)
        if self.rng.random() < 0.3:
            self.dog = self._cast("dog", 0.0, self._dog_x(), self._y(place.DOG_LANE_Y))
            self.dog.go(0.0, 0.0, self.dog.x, self.dog.y)

    def _bouts(self) -> list[RopeBout]:
        """Bouts that fill the film: what time is left over is shared out between them by chance."""
        first_s = float(self.rng.uniform(*FIRST_S))
        planned = self._planned(self.film_s - first_s - LAST_S)
        spare_s = self.film_s - first_s - LAST_S - sum(map(_span_s, planned)) - PAUSE_LEAST_S * (len(planned) - 1)
        pauses_s = PAUSE_LEAST_S + spare_s * self.rng.dirichlet(np.ones(len(planned) + 1))
        bouts, t_s = [], first_s
        for turns, pause_s in zip(planned, pauses_s, strict=False):
            placed = []
            for period_s, stuck_s in turns:
                placed.append(Turn(t_s, period_s, stuck_s))
                t_s = placed[-1].t1
            bouts.append(RopeBout(tuple(placed)))
            t_s += float(pause_s)
        return bouts

    def _planned(self, room_s: float) -> list[list[tuple[float, float]]]:
        """Periods and falls of each bout's turns, as many as were drawn or as fit into `room_s`, at least the fewest of a film."""
        num, tempo_s = int(self.rng.integers(NUM_JUMPS[0], NUM_JUMPS[1] + 1)), float(self.rng.uniform(*TEMPO_S))
        planned: list[list[tuple[float, float]]] = []
        while num:
            many = min(num, int(self.rng.integers(BOUT_JUMPS[0], BOUT_JUMPS[1] + 1)))
            mean_s = tempo_s * float(self.rng.uniform(0.9, 1.1))
            turns = [(float(np.clip(mean_s * self.rng.normal(1.0, 0.05), *PERIOD_S)), 0.0) for _ in range(many)]
            if self.rng.random() < TRIPS:
                turns.append((float(np.clip(mean_s, *PERIOD_S)), float(self.rng.uniform(0.4, 0.9))))
            if planned and sum(map(_span_s, [*planned, turns])) + PAUSE_LEAST_S * len(planned) > room_s:
                break
            planned.append(turns)
            num -= many
        return planned


def _span_s(turns: list[tuple[float, float]]) -> float:
    t_s = 0.0
    for period_s, stuck_s in turns:
        t_s = Turn(t_s, period_s, stuck_s).t1
    return t_s
