"""The director: writes what happens in a yard, action after action, for as long as anyone wants to watch.

In: a layout and a random generator. Out: stints of actors, switches of door, lamp and parcel, and events in order of time.
Every action begins at or after `cursor_s`, which never goes back, and changes nothing before its beginning: so a script run
further only appends. The main event of an action comes at least MIN_GAP_S after the last event of the action before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from trainer.world import layout as place
from trainer.world.presence_interval import BEND_S, DOORWAY_S, Bout, PresenceInterval
from trainer.world.stage import DOG_PACE, OUTSIDE_X, Stage

DOORWAY_OFFSET_X = 0.125
"""Sideways way from the middle of the door to behind the wall."""

Action = Callable[[float], None]
"""Writes one action whose first event falls on the given second, or as soon after as can be."""


class Director(Stage):
    """Writes the script. Call `run_until`; read `stints`, `events`, `door`, `lamp`, `parcel`."""

    def run_until(self, until_s: float) -> None:
        """Write until nothing before `until_s` can change any more."""
        while self.cursor_s <= until_s:
            self._step()

    def _step(self) -> None:
        gap_s = self._gap()
        if gap_s > 2.5:
            self._stroll()
        target_s = self.last_event_s + gap_s
        options = self._options()
        weights = np.array([weight for weight, _ in options])
        action = options[int(self.rng.choice(len(options), p=weights / weights.sum()))][1]
        action(target_s)

    def _gap(self) -> float:
        low, high = ((0.95, 1.6), (1.6, 3.2), (4.5, 7.5))[int(self.rng.choice(3, p=[0.3, 0.45, 0.25]))]
        return float(self.rng.uniform(low, high))

    def _options(self) -> list[tuple[float, Action]]:
        num = len(self.persons)
        arrive, leave = (3.0, 1.7, 0.9, 0.0)[num], (0.0, 1.0, 1.5, 3.0)[num]
        options: list[tuple[float, Action]] = [
            (1.3, self._turn_lamp),
            (1.1, self._turn_door),
            (1.5, self._car_leaves if self.car else self._car_arrives),
            (1.5, self._dog_leaves if self.dog else self._dog_arrives),
        ]
        if arrive:
            options += [(arrive * 0.7, self._enter_from_side), (arrive * 0.3, self._enter_from_door)]
            options += [] if self.parcel.state else [(1.6, self._deliver)]
        if leave:
            options += [(leave * 0.7, self._leave_by_side), (leave * 0.3, self._leave_by_door), (1.9, self._jump)]
            options += [(1.8, self._take)] if self.parcel.state else []
        return options

    def _enter_from_side(self, target_s: float) -> None:
        person, side = self._come_in(target_s)
        leg = self._walk(person, self.cursor_s, *self._slot_xy(person))
        self._log_entry("person_arrived", leg, side, person)

    def _leave_by_side(self, target_s: float) -> None:
        person, side = self._someone(), self._side()
        lead_s = abs((1 if side > 0 else 0) - person.x) / self._pace(person)
        self._go_out(person, self._begin(target_s, lead_s, person), side)

    def _open_door(self, t_s: float) -> bool:
        """Open it if it is shut; True if it was."""
        if self.door.state:
            return False
        self._switch(self.door, "door_opened", t_s)
        return True

    def _shut_door_after(self, was_shut: bool) -> None:
        if was_shut and self.rng.random() < 0.6:
            self._switch(self.door, "door_closed", self.last_event_s + float(self.rng.uniform(1.3, 2.4)))

    def _enter_from_door(self, target_s: float) -> None:
        start_s = self._begin(target_s, 0.0)
        was_shut = self._open_door(start_s)
        x, y = self._threshold()
        behind = self._side() * DOORWAY_OFFSET_X
        step_s = start_s + (0.7 if was_shut else 0.0)
        person = self._cast("person", step_s, x + behind, y)
        self._take_place(person)
        leg = person.go(step_s, step_s + DOORWAY_S, x, y)
        person.doorways.append((leg.t0, leg.t1))
        self._log("person_arrived", leg.when_x(x + behind * 0.45), start_s=leg.t0, actor=person)
        self._walk(person, leg.t1, *self._slot_xy(person))
        self._shut_door_after(was_shut)

    def _leave_by_door(self, target_s: float) -> None:
        person = self._someone()
        start_s = self._begin(target_s, 1.5, person)
        self._go_through_door(person, start_s)

    def _go_through_door(self, person: PresenceInterval, start_s: float) -> None:
        x, y = self._threshold()
        leg = self._walk(person, start_s, x, y)
        open_s = self._wait_for_turn(leg.t1 + 0.1)
        was_shut = self._open_door(open_s)
        step_s = open_s + (0.8 if was_shut else 0.1)
        behind = self._side() * DOORWAY_OFFSET_X
        leg = person.go(step_s, step_s + DOORWAY_S, x + behind, y)
        person.doorways.append((leg.t0, leg.t1))
        self._log("person_left", leg.when_x(x + behind * 0.55), start_s=leg.t0, actor=person)
        person.end_s = leg.t1
        self.persons.remove(person)
        self._shut_door_after(was_shut)

    def _jump(self, target_s: float) -> None:
        person = self._someone()
        bout = Bout(self._begin(target_s, 0.0, person), int(self.rng.integers(2, 8)), float(self.rng.uniform(0.95, 1.05)))
        person.bouts.append(bout)
        person.free_at_s = bout.t1 + 0.3
        self._log("person_jumped", bout.t1, start_s=bout.t0, actor=person, num_jumps=bout.num)

    def _go_to_parcel(self, person: PresenceInterval, t0: float, *, entered_from: int = 0) -> float:
        """Walk to it and bend down; returns the moment the hands are at it."""
        x, y = self.layout.place(place.PARCEL_X + 46, place.PARCEL_Y + 1)
        leg = self._walk(person, t0, x, y)
        if entered_from:
            self._log_entry("person_arrived", leg, entered_from, person)
        bend_s = self._wait_for_turn(leg.t1 + 0.1)
        person.bends.append((bend_s, 1 if self.layout.mirrored else -1))
        person.free_at_s = bend_s + BEND_S + 0.1
        return bend_s + BEND_S / 2

    def _deliver(self, target_s: float) -> None:
        person, side = self._come_in(target_s)
        t_s = self._go_to_parcel(person, self.cursor_s, entered_from=side)
        person.carries.append((person.start_s, t_s))
        self._switch(self.parcel, "parcel_delivered", t_s, start_s=t_s - BEND_S / 2)
        if self.rng.random() < 0.6:
            self._walk(person, person.free_at_s, *self._slot_xy(person))
        else:
            self._go_out(person, person.free_at_s, self._side())

    def _take(self, target_s: float) -> None:
        person = self._someone()
        t_s = self._go_to_parcel(person, self._begin(target_s, 1.5, person))
        self._switch(self.parcel, "parcel_taken", t_s, start_s=t_s - BEND_S / 2)
        if self.rng.random() < 0.65:
            self._go_out(person, person.free_at_s, self._side())
        else:
            self._go_through_door(person, person.free_at_s)
        person.carries.append((t_s, math.inf))

    def _turn_lamp(self, target_s: float) -> None:
        self._switch(self.lamp, "lamp_off" if self.lamp.state else "lamp_on", self._begin(target_s, 0.0))

    def _turn_door(self, target_s: float) -> None:
        self._switch(self.door, "door_closed" if self.door.state else "door_opened", self._begin(target_s, 0.0))

    def _car_arrives(self, target_s: float) -> None:
        side, x = self._side(), self._parking_x()
        self.car = self._cast("car", 0.0, self._outside("car", side), self._y(place.ROAD_Y))
        span_s = 1.0 + 2.2 * abs(x - self.car.x)
        self.car.start_s = start_s = self._begin(target_s, self._lead(self.car, x, span_s, "brake", side))
        leg = self.car.go(start_s, start_s + span_s, x, self.car.y, "brake")
        self._log_entry("car_arrived", leg, side, self.car)

    def _car_leaves(self, target_s: float) -> None:
        assert self.car is not None
        came = self.car.legs[-1]
        side = self.car.facing if came.x0 == came.x1 else 1 if came.x1 > came.x0 else -1
        x = self._outside("car", side)
        span_s = 1.0 + 1.6 * abs(x - self.car.x)
        start_s = self._begin(target_s, self._lead(self.car, x, span_s, "start", side), self.car)
        leg = self.car.go(start_s, start_s + span_s, x, self.car.y, "start")
        self._log_exit("car_left", leg, side, self.car)
        self.car = None

    def _dog_arrives(self, target_s: float) -> None:
        side = self._side()
        start_s = self._begin(target_s, OUTSIDE_X["dog"] / DOG_PACE)
        self.dog = self._cast("dog", start_s, self._outside("dog", side), self._y(place.DOG_LANE_Y))
        self._log_entry("dog_arrived", self._trot(self.dog, start_s, self._dog_x()), side, self.dog)

    def _dog_leaves(self, target_s: float) -> None:
        assert self.dog is not None
        side = self._side()
        start_s = self._begin(target_s, abs((1 if side > 0 else 0) - self.dog.x) / DOG_PACE, self.dog)
        self._log_exit("dog_left", self._trot(self.dog, start_s, self._outside("dog", side)), side, self.dog)
        self.dog = None

    def _stroll(self) -> None:
        """Something small in a quiet stretch: the dog wanders, or a person walks elsewhere. No event."""
        if self.dog is not None and self.rng.random() < 0.6:
            self._trot(self.dog, self._begin(0.0, 0.0, self.dog), self._dog_x())
        elif self.persons and self.rng.random() < 0.5:
            person = self._someone()
            self._take_place(person)
            self._walk(person, self._begin(0.0, 0.0, person), *self._slot_xy(person))
