"""Masks: which pixels of a picture show which actor, exactly.

In: a renderer and a time. Out: by actor, bool [H, W]. Each actor is painted white on black by its own painter, then whatever is nearer in
black; half a pixel or more is the actor's. What is carried belongs to who carries it; shadows and ropes belong to nobody.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.world.layout import RGB
from trainer.world.pen import Image, Pen, Points
from trainer.world.render import Renderer
from trainer.world.rope import ROPE

Mask = NDArray[np.bool_]
WHITE: RGB = (255, 255, 255)
BLACK: RGB = (0, 0, 0)


class SilhouettePen(Pen):
    """Paints everything in `tone`, but no shadow and no rope."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self.tone = WHITE

    def colour(self, rgb: RGB) -> RGB:
        return self.tone

    def line(self, points: Points, width: float, rgb: RGB) -> None:
        if rgb != ROPE:
            super().line(points, width, rgb)

    def shade(self, points: Points, strength: float) -> None:
        """Shadows show nobody."""


def masks_at(renderer: Renderer, t_s: float) -> dict[int, Mask]:
    """By number of the actor; of an actor that is wholly hidden an empty mask. Raises TimeError outside the world's script."""
    state = renderer.world.state_at(t_s)
    things = renderer.things(state)
    masks = {}
    for index, thing in enumerate(things):
        if thing is None:
            continue
        pen = SilhouettePen(np.zeros((renderer.height, renderer.width, 3), np.uint8))
        renderer.paint(pen, thing, state.lamp_on)
        pen.tone = BLACK
        for nearer in things[index + 1 :]:
            renderer.paint(pen, nearer, state.lamp_on)
        masks[thing.ident] = pen.image[..., 0] >= 128
    return masks
