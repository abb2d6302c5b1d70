"""Worlds are versioned: seeds that were filmed and learnt from tell the same story, and its actors look the same, bit for bit."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from trainer.world import World, questions_at
from trainer.world.pen import Pen
from trainer.world.render import PAINTERS
from trainer.world.state import ActorState

DRAWN = [
    *("kind", "ident", "colour", "look", "x", "y", "box", "height", "visible", "covered", "facing", "action", "moving"),
    *("phase", "bend", "carrying", "hop", "rope", "num_jumps", "in_doorway"),
]
"""What there was of an actor when these digests were made; what came later is not part of them."""
WORLDS: dict[str, dict[str, Any]] = {
    "busy": {},
    "duty": {"duty": 0.4},
    "night": {"duty": 0.7, "night": True},
}
STORIES = {
    "busy": "6a1be7ea84d395db",
    "duty": "a13a6a6c322bc87c",
    "night": "2df6bf3192259df0",
}
SPRITES = "8a7530c747bea377"
QUESTIONS = "4e196b80c8438eca"


def digest(parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def plain(value: object) -> object:
    """Numbers to a billionth: what the last bit of a sine is, machines may disagree about."""
    if isinstance(value, tuple):
        return tuple(plain(each) for each in value)
    return round(value, 9) if isinstance(value, float) else value


def story(kind: str) -> list[object]:
    told: list[object] = []
    for seed in (*range(12), 300_123, *range(900_000, 900_012)):
        world = World(seed, duration_s=30.0, **WORLDS[kind])
        told += [plain(tuple(asdict(event).values())) for event in world.events]
        for t_s in np.arange(0.0, 30.0, 1.7):
            state = world.state_at(float(t_s))
            told += [plain(tuple(getattr(actor, name) for name in DRAWN)) for actor in state.actors]
            told += [state.door_open, plain(state.door_fraction), state.lamp_on, state.parcel, state.num_jumps]
    return told


@pytest.mark.parametrize("kind", WORLDS)
def test_seeds_tell_the_story_that_they_always_told(kind: str) -> None:
    assert digest(story(kind)) == STORIES[kind]


def test_actors_are_drawn_as_they_always_were() -> None:
    """On a plain ground: polygons of whole sixteenths of a pixel, so the same on every machine."""
    actors: dict[tuple[str, str, int], ActorState] = {}
    for seed in (900_000, 900_003, 900_009):
        world = World(seed, duration_s=90.0)
        for t_s in np.arange(0.0, 90.0, 0.31):
            for actor in world.state_at(float(t_s)).actors:
                actors.setdefault((actor.kind, actor.action, int(8 * (actor.rope or 0.0)) % 8), actor)
    assert {action for _, action, _ in actors} == {"stand", "walk", "jump", "bend", "drive"}
    pictures = []
    for key in sorted(actors):
        image = np.full((180, 320, 3), 90, np.uint8)
        PAINTERS[actors[key].kind](Pen(image), actors[key])
        pictures.append(hashlib.sha256(image.tobytes()).hexdigest())
    assert digest(pictures) == SPRITES


def test_the_nine_types_ask_what_they_always_asked() -> None:
    asked = []
    for seed in (900_000, 900_001, 12):
        world, rng = World(seed, duration_s=48.0), np.random.default_rng([seed, 13])
        for t_s in np.arange(4.0, 47.0, 2.9):
            for types in (None, ["when"], ["order", "count"]):
                questions = questions_at(world, float(t_s), since_s=1.0, zero_s=1.0, rng=rng, num=3, types=types)
                asked += [(question.type, question.text, question.answer, question.family) for question in questions]
        asked.append(float(rng.random()))
    assert digest(asked) == QUESTIONS
