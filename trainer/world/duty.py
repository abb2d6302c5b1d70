"""The director of a film by duty: somebody is in view for a given share of the time; for the rest nothing moves but light and leaves.

In: a layout, a random generator, a share. Out: the same script as `Director` writes. The yard is empty; a cycle is half a rest, a
spell, half a rest, and holds the share by itself, so that films of any length do. In a spell one actor after another comes in,
moves about and leaves, the next before the last is gone; nobody stands for longer than `PAUSE_MOST_S`. Rests are at least
`REST_LEAST_S` long (but for the first, which the film's beginning cuts in half): for duties above a fifth spells are longer.
"""

from __future__ import annotations

import math

import numpy as np

from trainer.world import layout as place
from trainer.world.errors import TimeError
from trainer.world.layout import Layout
from trainer.world.presence_interval import Bout, Leg, PresenceInterval
from trainer.world.stage import DOG_PACE, HALF_W, Stage

SPELL_S = (8.0, 20.0)
REST_LEAST_S = 30.0
PAUSE_MOST_S = 1.0
OVERLAP_S = 0.4
"""The next actor is in view this long before the last is gone."""
CAR_S = 6.0
"""A car's visit, about."""
VISIT_S = (7.0, 16.0)
"""What a person or a dog stays in a spell of several visits."""


class DutyDirector(Stage):
    """Writes the script of a yard that is active for the share `duty` of the time, 0 to 1. Raises TimeError for another share."""

    def __init__(self, layout: Layout, rng: np.random.Generator, duty: float) -> None:
        if not 0.0 <= duty <= 1.0:
            raise TimeError(f"duty: expected a share of the time, 0 to 1, got {duty}")
        super().__init__(layout, rng)
        self.duty = duty
        self._free_s = 0.0  # nobody is in view from here on

    def run_until(self, until_s: float) -> None:
        """Write until nothing before `until_s` can change any more."""
        while self.cursor_s <= until_s:
            self.cursor_s = self._cycle(self.cursor_s) if self.duty else math.inf

    def _set_stage(self) -> None:
        """Nobody is here."""
        self.last_event_s = -math.inf

    def _cycle(self, start_s: float) -> float:
        """Rest, spell, rest from `start_s` on; returns its end."""
        rest_over_spell = (1 - self.duty) / self.duty
        low_s = max(SPELL_S[0], REST_LEAST_S / rest_over_spell if rest_over_spell else 0.0)
        high_s = max(SPELL_S[1], 1.5 * low_s)
        spell_s = float(self.rng.uniform(low_s, high_s)) if rest_over_spell else VISIT_S[1]
        half_rest_s = spell_s * rest_over_spell / 2
        first_s = start_s + half_rest_s - (OVERLAP_S if start_s and not rest_over_spell else 0.0)
        self._spell(first_s, start_s + half_rest_s + spell_s)
        return self._free_s + half_rest_s

    def _spell(self, start_s: float, end_s: float) -> None:
        """Visits from `start_s`, when the first is seen, to about `end_s`, when the last is gone."""
        while True:
            left_s = end_s - start_s
            if left_s > CAR_S + VISIT_S[0] and self.rng.random() < 0.3:
                self._pass_by(start_s)
            else:
                short_s = float(self.rng.uniform(*VISIT_S))
                until_s = end_s if left_s < short_s + VISIT_S[0] else start_s + short_s
                (self._visit if self.rng.random() < 0.6 else self._romp)(start_s, until_s)
            if end_s - self._free_s < VISIT_S[0] / 2:
                return
            start_s = self._free_s - OVERLAP_S

    def _visit(self, seen_s: float, until_s: float) -> None:
        """A person comes in, walks and jumps rope, and leaves by about `until_s`."""
        side = self._side()
        person = self._cast("person", 0.0, self._outside("person", side), 0.0)
        self._take_place(person)
        x, person.y = self._slot_xy(person)
        pace = self._pace(person)
        person.start_s = seen_s - self._unseen_s(person, pace)
        self._log_entry("person_arrived", self._walk(person, person.start_s, x, person.y), side, person)
        while person.free_at_s + self._unseen_s(person, pace, leaving=True) + 1.0 < until_s:
            self._pass_time(person, until_s - self._unseen_s(person, pace, leaving=True))
        side = -1 if person.x < 0.5 else 1
        leg = self._walk(person, person.free_at_s, self._outside("person", side), person.y)
        self._log_exit("person_left", leg, side, person)
        self._gone(leg, side, person)
        self.persons.remove(person)

    def _pass_time(self, person: PresenceInterval, until_s: float) -> None:
        """Jump a little or walk elsewhere."""
        start_s = person.free_at_s + self._pause()
        num = min(int(self.rng.integers(2, 6)), int(until_s - start_s))
        if num >= 2 and self.rng.random() < 0.35:
            bout = Bout(start_s, num, float(self.rng.uniform(0.95, 1.05)))
            person.bouts.append(bout)
            person.free_at_s = bout.t1
            self._log("person_jumped", bout.t1, start_s=bout.t0, actor=person, num_jumps=num)
            return
        self._take_place(person)
        self._walk(person, start_s, *self._slot_xy(person))

    def _romp(self, seen_s: float, until_s: float) -> None:
        """A dog comes, trots about and leaves by about `until_s`."""
        side = self._side()
        dog = self._cast("dog", 0.0, self._outside("dog", side), self._y(place.DOG_LANE_Y))
        dog.start_s = seen_s - self._unseen_s(dog, DOG_PACE)
        self._log_entry("dog_arrived", self._trot(dog, dog.start_s, self._dog_x()), side, dog)
        while dog.free_at_s + self._unseen_s(dog, DOG_PACE, leaving=True) + 1.0 < until_s:
            self._trot(dog, dog.free_at_s + self._pause(), self._dog_x())
        side = -1 if dog.x < 0.5 else 1
        leg = self._trot(dog, dog.free_at_s, self._outside("dog", side))
        self._log_exit("dog_left", leg, side, dog)
        self._gone(leg, side, dog)

    def _pass_by(self, seen_s: float) -> None:
        """A car comes, stops for a moment, and goes on."""
        side, x = self._side(), self._parking_x()
        car = self._cast("car", 0.0, self._outside("car", side), self._y(place.ROAD_Y))
        brake_s = 1.0 + 2.2 * abs(x - car.x)
        edge_x = 1 + HALF_W["car"] if side > 0 else -HALF_W["car"]
        car.start_s = seen_s - Leg(0.0, brake_s, car.x, car.y, x, car.y, "brake").when_x(edge_x)
        self._log_entry("car_arrived", car.go(car.start_s, car.start_s + brake_s, x, car.y, "brake"), side, car)
        start_s, out_x = car.free_at_s + self._pause(), self._outside("car", -side)
        leg = car.go(start_s, start_s + 1.0 + 1.6 * abs(out_x - car.x), out_x, car.y, "start")
        self._log_exit("car_left", leg, -side, car)
        self._gone(leg, -side, car)

    def _pause(self) -> float:
        return float(self.rng.uniform(0.1, PAUSE_MOST_S - 0.3))

    def _gone(self, leg: Leg, side: int, actor: PresenceInterval) -> None:
        """From the moment on that the way out passes the picture's edge nobody is here."""
        self._free_s = leg.when_x(1 + HALF_W[actor.kind] if side > 0 else -HALF_W[actor.kind])

    def _unseen_s(self, actor: PresenceInterval, pace: float, *, leaving: bool = False) -> float:
        """Seconds from where the actor is to the picture's edge: out of view on its way in, or in view on its way out."""
        if leaving:
            return (min(actor.x, 1 - actor.x) + HALF_W[actor.kind]) / pace
        return (max(-actor.x, actor.x - 1) - HALF_W[actor.kind]) / pace
