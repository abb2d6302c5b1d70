"""The stage a script is written on: who is on it, where they may stand, how they walk, and the log of what happened.

In: a layout and a random generator. Out: stints, switches and events that grow as the director calls these methods.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trainer.world import layout as place
from trainer.world.event import EventKind, WorldEvent, make_event
from trainer.world.layout import COLOURS, Layout
from trainer.world.presence_interval import ActorKind, Ease, Leg, PresenceInterval

MIN_GAP_S = 0.9
"""The least time from the last event to the main event of the next action."""
OUTSIDE_X = {"person": 0.08, "car": 0.23, "dog": 0.12}
"""How far beyond the edge an actor is wholly out of view, fractions of the picture width."""
HALF_W = {"person": 0.05, "car": 0.18, "dog": 0.09}
"""Half an actor's width and a bit, fractions of the picture width."""
DOG_PACE = 0.30
"""Trotting speed, picture widths per second."""


@dataclass(slots=True)
class Switch:
    """Something with two states: door, lamp, or the parcel at the door. `times_s` are its changes."""

    first: bool
    times_s: list[float] = field(default_factory=list)

    @property
    def state(self) -> bool:
        return self.first ^ (len(self.times_s) % 2 == 1)


class Stage:
    """Actors, things and the log. `cursor_s`: nothing before it may change any more."""

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self.layout = layout
        self.rng = rng
        self.cursor_s = 0.0
        self.events: list[WorldEvent] = []
        self.stints: list[PresenceInterval] = []
        self.persons: list[PresenceInterval] = []
        self.car: PresenceInterval | None = None
        self.dog: PresenceInterval | None = None
        self.door = Switch(bool(rng.random() < 0.35))
        self.lamp = Switch(bool(rng.random() < 0.5))
        self.parcel = Switch(bool(rng.random() < 0.5))
        self.last_event_s = float(rng.uniform(-1.5, 1.0))
        self._set_stage()

    def _begin(self, target_s: float, lead_s: float, actor: PresenceInterval | None = None) -> float:
        """The moment an action starts so that its first event, `lead_s` later, falls on `target_s` or soon after."""
        start_s = max(self.cursor_s, target_s - lead_s, actor.free_at_s if actor else 0.0)
        self.cursor_s = start_s
        return start_s

    def _log(
        self,
        kind: EventKind,
        t_s: float,
        *,
        start_s: float | None = None,
        actor: PresenceInterval | None = None,
        num_jumps: int = 0,
    ) -> None:
        assert t_s >= self.last_event_s, f"{kind}: expected at or after {self.last_event_s}, got {t_s}"
        ident, colour = (actor.ident, actor.colour) if actor else (-1, "")
        self.events.append(make_event(kind, t_s, start_s=start_s, actor_id=ident, colour=colour, num_jumps=num_jumps))
        self.last_event_s = t_s

    def _wait_for_turn(self, t_s: float) -> float:
        """Never closer to the last event than the least gap."""
        return max(t_s, self.last_event_s + MIN_GAP_S)

    def _set_stage(self) -> None:
        for _ in range(int(self.rng.choice(3, p=[0.35, 0.4, 0.25]))):
            person = self._cast("person", 0.0, 0.0, 0.0)
            self._take_place(person)
            person.x, person.y = self._slot_xy(person)
            person.facing = int(self.rng.choice([-1, 1]))
            person.go(0.0, 0.0, person.x, person.y)
        if self.rng.random() < 0.45:
            self.car = self._cast("car", 0.0, self._parking_x(), self._y(place.ROAD_Y))
            self.car.go(0.0, 0.0, self.car.x, self.car.y)
        if self.rng.random() < 0.4:
            self.dog = self._cast("dog", 0.0, self._dog_x(), self._y(place.DOG_LANE_Y))
            self.dog.go(0.0, 0.0, self.dog.x, self.dog.y)

    def _cast(self, kind: ActorKind, start_s: float, x: float, y: float) -> PresenceInterval:
        taken = {person.colour for person in self.persons} if kind == "person" else set()
        free = [colour for colour in COLOURS if colour not in taken]
        stint = PresenceInterval(
            kind=kind,
            ident=len(self.stints),
            colour="" if kind == "dog" else free[int(self.rng.integers(len(free)))],
            look=int(self.rng.integers(1 << 30)),
            stature=float(self.rng.uniform(0.95, 1.05)),
            start_s=start_s,
            x=x,
            y=y,
            facing=int(self.rng.choice([-1, 1])),
        )
        self.stints.append(stint)
        if kind == "person":
            self.persons.append(stint)
        return stint

    def _y(self, y_px: float) -> float:
        return self.layout.place(0, y_px)[1]

    def _take_place(self, person: PresenceInterval) -> None:
        """Give the person a free slot, each of left, door and right as likely as the others, and a lane of their own."""
        slots = [slot for slot in range(5) if all(other.slot != slot for other in self.persons)]
        weights = np.array([(1.0, 1.1, 0.4, 0.4, 0.4)[slot] for slot in slots])
        person.slot = slots[int(self.rng.choice(len(slots), p=weights / weights.sum()))]
        if person.lane < 0:
            lanes = [lane for lane in range(3) if all(other.lane != lane for other in self.persons)]
            person.lane = lanes[int(self.rng.integers(len(lanes)))]

    def _slot_xy(self, person: PresenceInterval) -> tuple[float, float]:
        return self.layout.place(place.SLOTS_X[person.slot], place.LANES_Y[person.lane])

    def _threshold(self) -> tuple[float, float]:
        return self.layout.place(place.DOOR_X, place.DOOR_BASE + 3)

    def _parking_x(self) -> float:
        return self.layout.place(place.PARKED_X[int(self.rng.integers(2))], 0)[0]

    def _dog_x(self) -> float:
        low, high = ((74, 100), (160, 280), (392, 560))[int(self.rng.integers(3))]
        return self.layout.place(float(self.rng.uniform(low, high)), 0)[0]

    def _outside(self, kind: ActorKind, side: int) -> float:
        return 1 + OUTSIDE_X[kind] if side > 0 else -OUTSIDE_X[kind]

    def _side(self) -> int:
        return int(self.rng.choice([-1, 1]))

    def _walk(self, person: PresenceInterval, t0: float, x: float, y: float) -> Leg:
        leg = person.go(t0, t0 + max(0.3, abs(x - person.x) / self._pace(person)), x, y)
        person.free_at_s = leg.t1 + 0.2
        return leg

    def _pace(self, person: PresenceInterval) -> float:
        """Walking speed, picture widths per second."""
        return 0.20 + 0.05 * (person.look % 97) / 97

    def _log_entry(self, kind: EventKind, leg: Leg, side: int, actor: PresenceInterval) -> None:
        edge, half = (1.0, HALF_W[actor.kind]) if side > 0 else (0.0, -HALF_W[actor.kind])
        self._log(kind, leg.when_x(edge), start_s=leg.when_x(edge + half), actor=actor)

    def _log_exit(self, kind: EventKind, leg: Leg, side: int, actor: PresenceInterval) -> None:
        edge, half = (1.0, HALF_W[actor.kind]) if side > 0 else (0.0, -HALF_W[actor.kind])
        inside = edge - half
        beyond = inside > max(leg.x0, leg.x1) or inside < min(leg.x0, leg.x1)
        self._log(kind, leg.when_x(edge), start_s=leg.t0 if beyond else leg.when_x(inside), actor=actor)
        actor.end_s = leg.t1

    def _come_in(self, target_s: float) -> tuple[PresenceInterval, int]:
        """A new person, standing just out of view at the moment the action begins."""
        side = self._side()
        person = self._cast("person", 0.0, self._outside("person", side), 0.0)
        person.start_s = self._begin(target_s, OUTSIDE_X["person"] / self._pace(person))
        self._take_place(person)
        person.y = self._slot_xy(person)[1]
        return person, side

    def _go_out(self, person: PresenceInterval, t0: float, side: int) -> None:
        leg = self._walk(person, t0, self._outside("person", side), person.y)
        self._log_exit("person_left", leg, side, person)
        self.persons.remove(person)

    def _someone(self) -> PresenceInterval:
        return self.persons[int(self.rng.integers(len(self.persons)))]

    @staticmethod
    def _lead(actor: PresenceInterval, x: float, span_s: float, ease: Ease, side: int) -> float:
        """Seconds from setting off until the middle crosses the edge of the picture."""
        return Leg(0.0, span_s, actor.x, actor.y, x, actor.y, ease).when_x(1.0 if side > 0 else 0.0)

    def _trot(self, dog: PresenceInterval, t0: float, x: float) -> Leg:
        leg = dog.go(t0, t0 + max(0.4, abs(x - dog.x) / DOG_PACE), x, dog.y)
        dog.free_at_s = leg.t1 + 0.2
        return leg

    def _switch(self, switch: Switch, kind: EventKind, t_s: float, *, start_s: float | None = None) -> None:
        switch.times_s.append(t_s)
        self._log(kind, t_s, start_s=start_s)
