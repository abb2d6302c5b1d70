"""Masks of actors against the pictures that they belong to."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.world import Renderer, World, jump_film
from trainer.world.masks import masks_at
from trainer.world.moment import is_clear
from trainer.world.pen import Pen
from trainer.world.placed import spot
from trainer.world.render import PAINTERS
from trainer.world.state import ActorState

SEEDS = range(900_000, 900_006)


def worlds() -> list[World]:
    yards = [World(seed, duration_s=40.0) for seed in SEEDS]
    return [*yards, *(World(seed, duration_s=jump_film(seed).duration_s, scene="jumpscore") for seed in SEEDS[:2])]


def covered(actor: ActorState, width: int, height: int) -> np.ndarray:
    """Pixels in which the actor, alone, is at least half of what one sees: those where black ground and white ground look alike."""
    pictures = []
    for ground in (0, 255):
        image = np.full((height, width, 3), ground, np.uint8)
        PAINTERS[actor.kind](Pen(image), actor)
        pictures.append(image.astype(int))
    return np.asarray(np.abs(pictures[0] - pictures[1]).max(axis=2) < 128)


def test_a_mask_is_what_hides_the_ground() -> None:
    num = 0
    for world in worlds():
        renderer = Renderer(world, width=320, height=180)
        for t_s in (3.0, 14.5, 26.0):
            masks = masks_at(renderer, t_s)
            for actor in world.state_at(t_s).actors:
                if is_clear(actor) and not actor.covered and actor.rope is None:
                    true = covered(actor, 320, 180)
                    assert (masks[actor.ident] ^ true).sum() <= 0.03 * true.sum()
                    num += 1
    assert num > 12


def test_masks_lie_in_boxes_share_no_pixel_and_hold_the_spot() -> None:
    num = 0
    for world in worlds():
        renderer = Renderer(world, width=640, height=360)
        for t_s in np.arange(1.0, 30.0, 2.3):
            masks = masks_at(renderer, float(t_s))
            assert sum(mask.astype(int) for mask in masks.values()).max() <= 1 if masks else True
            for actor in world.state_at(float(t_s)).actors:
                rows, columns = np.nonzero(masks[actor.ident])
                if not is_clear(actor) or actor.covered:
                    continue
                left, top, right, bottom = (value * size for value, size in zip(actor.box, (640, 360) * 2, strict=True))
                held = 45 if actor.carrying or actor.bend else 0  # a parcel in the arms, arms that reach for one
                assert left - 20 - held <= columns.min()
                assert columns.max() <= right + 20 + held
                assert top - 12 <= rows.min()
                assert rows.max() <= bottom + 6
                x, y = spot(actor)
                assert masks[actor.ident][round(y * 360), round(x * 640)], f"{world.seed} at {t_s}: {actor}"
                num += 1
    assert num > 120


def test_what_is_nearer_hides_and_ropes_hide_nothing() -> None:
    world = World(900_001, duration_s=jump_film(900_001).duration_s, scene="jumpscore")
    renderer = Renderer(world, width=640, height=360)
    start_s, next_s = world.jump_starts_s[:2]
    quarter = start_s + 0.25 * (next_s - start_s)
    (jumper,) = (actor for actor in world.state_at(start_s).actors if actor.rope_behind)
    standing, turning = (masks_at(renderer, t_s)[jumper.ident] for t_s in (start_s, quarter))
    assert (standing ^ turning).mean() < 0.001  # the rope is elsewhere, the body is not
    hidden = 0
    for seed in range(900_000, 900_030):
        world = World(seed, duration_s=30.0)
        renderer = None
        for t_s in np.arange(0.0, 30.0, 0.9):
            for actor in world.state_at(float(t_s)).actors:
                if actor.covered > 0.5 and is_clear(dataclasses.replace(actor, covered=0.0)):
                    renderer = renderer or Renderer(world, width=160, height=90)
                    assert masks_at(renderer, float(t_s))[actor.ident].sum() < 0.85 * covered(actor, 160, 90).sum()
                    hidden += 1
    assert hidden > 5
