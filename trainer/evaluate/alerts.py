"""Twelve sentences of the world to watch for, when each of them is true, and how well somebody who told of them did.

In: a world; what was told. Out: true events, and `Tally`: precision, recall, F1, delays.

A moment counts as the world's questions count it: there are moments at which even a person could not say (somebody half in view, a
hand at the parcel). An event is a stretch of moments at which the sentence is true; moments at which nobody could say do not divide
it, and those around it belong to it. Events shorter than `LEAST_S` are neither asked for nor held against who tells them. A telling is
right when it overlaps a true event that no other telling has taken, with `SLACK_S` of grace at either end. Its delay runs from the first
moment at which the state of the world changed; events that are there from the beginning have none.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trainer.world import World
from trainer.world.layout import COLOURS
from trainer.world.moment import Moment, moment_at

SENTENCES: dict[str, str] = {
    **{f"{colour}-coat": f"Is there a person in {colour} in view?" for colour in COLOURS},
    "person": "Is there a person in view?",
    "car": "Is there a car in view?",
    "dog": "Is there a dog in view?",
    "lamp": "Is the lamp on?",
    "door": "Is the door open?",
    "parcel": "Is there a parcel at the door?",
}
"""Sentences by the name of their watch: what the world's language can say of now."""
STEP_S = 0.1
LEAST_S = 1.0
SLACK_S = 1.5


@dataclass(frozen=True, slots=True)
class TrueEvent:
    """Seconds of the world: `first_s` to `last_s` with the moments around it at which nobody could say; `start_s`: when the state
    changed, None when it was so from the beginning; `length_s`: how long it was certainly true."""

    first_s: float
    last_s: float
    start_s: float | None
    length_s: float


@dataclass(frozen=True, slots=True)
class Told:
    """Seconds of the world: when an event was said to begin and end (None: not any more), and when its `new` was received."""

    start_s: float
    end_s: float | None
    received_s: float


@dataclass(slots=True)
class Tally:
    """Counts of one sentence, or of all."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    delays_s: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.right += other.right
        self.wrong += other.wrong
        self.missed += other.missed
        self.delays_s += other.delays_s

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 0.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (2 * self.right + self.wrong + self.missed) if self.right else 0.0

    @property
    def median_delay_s(self) -> float | None:
        return statistics.median(self.delays_s) if self.delays_s else None

    @property
    def p95_delay_s(self) -> float | None:
        return float(np.percentile(self.delays_s, 95)) if self.delays_s else None


def true_events(world: World, *, end_s: float) -> dict[str, list[TrueEvent]]:
    """By sentence, from the world's beginning to `end_s`."""
    times_s = np.arange(0.0, end_s, STEP_S)
    rng = np.random.default_rng(0)
    moments = [moment_at(world, float(t_s), since_s=0.0, zero_s=0.0, rng=rng) for t_s in times_s]
    return {name: _events([_truth(name, moment) for moment in moments], times_s) for name in SENTENCES}


def score(events: Sequence[TrueEvent], told: Sequence[Told], *, end_s: float) -> Tally:
    """One sentence of one film."""
    tally, taken = Tally(), set[int]()
    for one in sorted(told, key=lambda each: each.start_s):
        until_s = end_s if one.end_s is None else one.end_s
        near = [
            index
            for index, event in enumerate(events)
            if index not in taken and one.start_s <= event.last_s + SLACK_S and until_s >= event.first_s - SLACK_S
        ]
        if not near:
            tally.wrong += 1
            continue
        taken.add(near[0])
        event = events[near[0]]
        if event.length_s >= LEAST_S:
            tally.right += 1
            if event.start_s is not None:
                tally.delays_s.append(max(0.0, one.received_s - event.start_s))
    tally.missed = sum(event.length_s >= LEAST_S for index, event in enumerate(events) if index not in taken)
    return tally


@dataclass(frozen=True, slots=True)
class _Truth:
    """`state`: what the world says; `clear`: whether somebody could tell."""

    state: bool
    clear: bool


def _truth(name: str, moment: Moment) -> _Truth:
    state = moment.state
    match name:
        case "lamp":
            return _Truth(state.lamp_on, moment.lamp_is_clear())
        case "door":
            return _Truth(state.door_open, moment.door_is_clear())
        case "parcel":
            return _Truth(state.parcel, moment.parcel_is_clear())
        case "person" | "car" | "dog":
            return _Truth(bool(state.of_kind(name)), moment.kind_is_clear(name))
    colour = name.removesuffix("-coat")
    worn = {actor.colour for actor in state.of_kind("person")}
    return _Truth(colour in worn, moment.kind_is_clear("person"))


def _events(truths: Sequence[_Truth], times_s: np.ndarray) -> list[TrueEvent]:
    events: list[TrueEvent] = []
    index, num = 0, len(truths)
    while index < num:
        if not (truths[index].clear and truths[index].state):
            index += 1
            continue
        first = last = end = index
        while end < num and (truths[end].state or not truths[end].clear):
            last = end if truths[end].clear and truths[end].state else last
            end += 1
        before = first
        while before > 0 and not truths[before - 1].clear:
            before -= 1
        changed = next((k for k in range(before, first + 1) if truths[k].state), first)
        after = min(end, num - 1)
        sure_s = STEP_S * sum(one.clear and one.state for one in truths[first : last + 1])
        start_s = float(times_s[changed]) if changed > 0 else None
        events.append(TrueEvent(float(times_s[before]), float(times_s[after]), start_s, sure_s))
        index = end
    return events
