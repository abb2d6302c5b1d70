"""Told lessons: a description of the view, and a log of what happened, straight from the truth.

In: a world and a moment. Out: a `Lesson` whose answer is a sentence or two. They teach perception and time with many answer tokens
per picture; the service answers them too ("Describe the view."), but they are not scored: more than one wording is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.world import World, caption

DESCRIBE = ("Describe the view.", "What do you see?")
LOG = ("What happened, and when?", "List the events.")
MAX_LOG_EVENTS = 4
SETTLE_S = 0.6
"""An event younger than this has not been seen for sure (the world's own rule for its questions)."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One question and the answer to learn. `type` is a question type of the world, or a told one."""

    type: str
    text: str
    answer: str


def tell(kind: str, world: World, at_s: float, *, since_s: float, zero_s: float, rng: np.random.Generator) -> Lesson:
    """One told lesson of `kind` ("describe" or "log") as of `at_s`."""
    if kind == "describe":
        return Lesson(kind, str(rng.choice(DESCRIBE)), caption(world.state_at(at_s), world.layout.door_x))
    seen = [event for event in world.events if since_s + SETTLE_S <= event.t_s <= at_s - SETTLE_S][-MAX_LOG_EVENTS:]
    lines = [f"{int(event.t_s - zero_s)} seconds: {event.sentence}." for event in seen]
    return Lesson(kind, str(rng.choice(LOG)), " ".join(lines) or "nothing")
