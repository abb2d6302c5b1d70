"""What can happen in the yard: event kinds, their sentences, and the frozen event.

An event is complete at `t_s`; something of it can be seen from `start_s` on (a car's bonnet before the car has arrived). Exact
meanings of `t_s` are on the definition page, trainer/world/questions.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "person_arrived",
    "person_left",
    "person_jumped",
    "car_arrived",
    "car_left",
    "dog_arrived",
    "dog_left",
    "door_opened",
    "door_closed",
    "lamp_on",
    "lamp_off",
    "parcel_delivered",
    "parcel_taken",
]

SENTENCES: dict[EventKind, str] = {
    "person_arrived": "a person in {colour} arrived",
    "person_left": "a person in {colour} left",
    "person_jumped": "a person in {colour} jumped rope",
    "car_arrived": "a car arrived",
    "car_left": "the car left",
    "dog_arrived": "a dog came",
    "dog_left": "the dog left",
    "door_opened": "the door opened",
    "door_closed": "the door closed",
    "lamp_on": "the lamp turned on",
    "lamp_off": "the lamp turned off",
    "parcel_delivered": "a parcel was delivered",
    "parcel_taken": "the parcel was taken",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldEvent:
    """One thing that happened.

    - `t_s`: when, seconds of the world. `start_s`: from when it could be seen coming (at most `t_s`).
    - `sentence`: what people would say. `actor`: person, car, dog, door, lamp or parcel; `actor_id`: which (-1 for a thing).
    - `colour`: of the coat or the car, "" for others. `num_jumps`: of a finished bout, otherwise 0.
    """

    kind: EventKind
    t_s: float
    start_s: float
    sentence: str
    actor: str
    actor_id: int = -1
    colour: str = ""
    num_jumps: int = 0

    def __post_init__(self) -> None:
        assert self.start_s <= self.t_s, f"event {self.kind}: expected a start at or before {self.t_s}, got {self.start_s}"


def make_event(
    kind: EventKind, t_s: float, *, start_s: float | None = None, actor_id: int = -1, colour: str = "", num_jumps: int = 0
) -> WorldEvent:
    """An event with its sentence filled in."""
    return WorldEvent(
        kind=kind,
        t_s=t_s,
        start_s=t_s if start_s is None else start_s,
        sentence=SENTENCES[kind].format(colour=colour),
        actor=kind.split("_")[0],
        actor_id=actor_id,
        colour=colour,
        num_jumps=num_jumps,
    )
