"""Draws the parcel: a light-brown box with tape and a label. In: a pen and a place. Out: pixels."""

from __future__ import annotations

from trainer.world.layout import DRAWING_H, DRAWING_W, RGB
from trainer.world.pen import Pen
from trainer.world.state import PARCEL_SIZE

CARDBOARD: RGB = (222, 156, 82)
CARDBOARD_TOP: RGB = (240, 184, 112)
CARDBOARD_SIDE: RGB = (182, 120, 58)
TAPE: RGB = (250, 232, 176)
LABEL: RGB = (248, 248, 244)


def paint_parcel(pen: Pen, x: float, y: float) -> None:
    """A parcel whose bottom edge's middle is at (x, y), drawing pixels."""
    w, h = PARCEL_SIZE[0] * DRAWING_W, PARCEL_SIZE[1] * DRAWING_H
    pen.at(x, y)
    front_top = -h * 0.76
    pen.box(-w / 2, front_top, w / 2, 0, CARDBOARD)
    pen.convex(((w * 0.30, front_top), (w / 2, front_top), (w / 2, 0), (w * 0.30, 0)), CARDBOARD_SIDE)
    pen.convex(((-w / 2, front_top), (-w * 0.38, -h), (w * 0.44, -h), (w / 2, front_top)), CARDBOARD_TOP)
    pen.box(-w * 0.14, front_top, w * 0.04, 0, TAPE)
    pen.convex(((-w * 0.14, front_top), (-w * 0.07, -h), (w * 0.09, -h), (w * 0.04, front_top)), TAPE)
    pen.box(-w * 0.42, -h * 0.36, -w * 0.19, -h * 0.12, LABEL)
