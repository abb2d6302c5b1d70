"""Draws the car from the side. In: a pen and an `ActorState`. Out: pixels.

Sprite frame: the origin under the middle of the car on the road, one unit the car's length, y down; it points right.
"""

from __future__ import annotations

import math

from trainer.world.layout import COAT_RGB, DRAWING_H, DRAWING_W, RGB
from trainer.world.pen import Pen, tinted
from trainer.world.state import ActorState

GLASS: RGB = (58, 76, 92)
TYRE: RGB = (28, 28, 32)
RIM: RGB = (176, 180, 186)


def paint_car(pen: Pen, actor: ActorState) -> None:
    """Draw the car; its wheels turn with the way it has gone."""
    body = COAT_RGB[actor.colour]
    length = (actor.box[2] - actor.box[0]) * DRAWING_W
    pen.at(actor.x * DRAWING_W, actor.y * DRAWING_H, length, actor.facing)
    dark = tinted(body, 0.62)
    pen.polygon(
        ((-0.30, -0.22), (-0.22, -0.365), (-0.16, -0.383), (0.08, -0.383), (0.14, -0.365), (0.27, -0.225), (0.0, -0.19)),
        tinted(body, 0.88),
    )
    pen.convex(((-0.262, -0.225), (-0.20, -0.345), (-0.065, -0.352), (-0.065, -0.225)), GLASS)
    pen.convex(((-0.035, -0.225), (-0.035, -0.352), (0.085, -0.345), (0.215, -0.225)), GLASS)
    pen.convex(((-0.02, -0.235), (-0.005, -0.34), (0.03, -0.34), (0.015, -0.235)), (124, 146, 160))
    pen.polygon(
        (
            (-0.495, -0.10), (-0.49, -0.20), (-0.46, -0.225), (-0.30, -0.24), (0.24, -0.24), (0.42, -0.205), (0.475, -0.175),
            (0.495, -0.12), (0.49, -0.06), (-0.48, -0.06),
        ),
        body,
    )  # fmt: skip
    pen.convex(((-0.495, -0.11), (0.495, -0.11), (0.49, -0.055), (-0.48, -0.055)), dark)
    pen.line(((-0.48, -0.185), (0.46, -0.175)), 1.6, tinted(body, 1.25))
    pen.line(((-0.05, -0.235), (-0.045, -0.075)), 1.2, dark)
    pen.line(((0.16, -0.235), (0.15, -0.075)), 1.2, dark)
    pen.box(-0.105, -0.195, -0.065, -0.182, dark)
    pen.oval(0.462, -0.155, 0.024, 0.028, (255, 250, 214), corners=12)
    pen.box(-0.493, -0.20, -0.468, -0.13, (200, 30, 34))
    for wheel_x in (-0.30, 0.305):
        _wheel(pen, wheel_x, actor.phase)


def _wheel(pen: Pen, x: float, phase: float) -> None:
    pen.oval(x, -0.085, 0.092, 0.092, (18, 18, 22), corners=24)
    pen.oval(x, -0.080, 0.080, 0.080, TYRE, corners=24)
    pen.oval(x, -0.080, 0.048, 0.048, RIM, corners=18)
    for spoke in range(3):
        a = phase * 0.5 + spoke * math.pi / 3
        dx, dy = 0.044 * math.cos(a), 0.044 * math.sin(a)
        pen.line(((x - dx, -0.080 - dy), (x + dx, -0.080 + dy)), 1.6, (96, 98, 104))
