"""Draws the dog from the side. In: a pen and an `ActorState`. Out: pixels.

Sprite frame: the origin on the ground under the middle of the dog, one unit the dog's length, y down; it looks right.
"""

from __future__ import annotations

import math

from trainer.world.layout import DRAWING_H, DRAWING_W, RGB
from trainer.world.pen import Pen, tinted
from trainer.world.state import ActorState

COATS: tuple[tuple[RGB, RGB], ...] = (
    ((92, 54, 30), (58, 34, 22)),
    ((52, 44, 42), (30, 26, 26)),
    ((120, 74, 38), (240, 226, 204)),
)
"""Body and markings."""


def paint_dog(pen: Pen, actor: ActorState) -> None:
    """Draw the dog: trotting legs while it moves, a wagging tail while it stands."""
    body, marks = COATS[actor.look % len(COATS)]
    length = (actor.box[2] - actor.box[0]) * DRAWING_W
    trot = math.sin(actor.phase * 1.4) if actor.moving else 0.0
    bounce = abs(trot) * 0.012
    pen.at(actor.x * DRAWING_W, actor.y * DRAWING_H, length, actor.facing)
    for hip_x, sign in ((-0.24, 1), (0.17, -1)):
        _leg(pen, hip_x + 0.03, -sign * trot, tinted(body, 0.7))
    wag = 0.05 * math.sin(actor.x * 300 + actor.phase * 2)
    pen.limb((-0.31, -0.37 - bounce), (-0.46, -0.52 + wag), 0.07, 0.035, marks)
    pen.limb((-0.25, -0.335 - bounce), (0.19, -0.35 - bounce), 0.215, 0.235, body)
    pen.limb((-0.16, -0.39 - bounce), (0.06, -0.40 - bounce), 0.10, 0.10, marks)
    for hip_x, sign in ((-0.24, 1), (0.17, -1)):
        _leg(pen, hip_x, sign * trot, body)
    pen.limb((0.21, -0.38 - bounce), (0.32, -0.50 - bounce), 0.17, 0.14, body)
    pen.oval(0.34, -0.515 - bounce, 0.088, 0.08, body)
    pen.limb((0.37, -0.49 - bounce), (0.46, -0.475 - bounce), 0.09, 0.065, marks)
    pen.oval(0.49, -0.487 - bounce, 0.018, 0.016, (16, 14, 14), corners=8)
    pen.limb((0.30, -0.565 - bounce), (0.255, -0.46 - bounce), 0.055, 0.065, marks)
    pen.oval(0.375, -0.535 - bounce, 0.013, 0.013, (12, 10, 10), corners=8)
    pen.limb((0.235, -0.425 - bounce), (0.30, -0.40 - bounce), 0.035, 0.035, (206, 40, 44))


def _leg(pen: Pen, x: float, swing: float, rgb: RGB) -> None:
    knee = (x + swing * 0.05 - 0.01, -0.15)
    pen.limb((x, -0.29), knee, 0.10, 0.065, rgb)
    pen.limb(knee, (x + swing * 0.13, -0.025), 0.06, 0.05, rgb)
