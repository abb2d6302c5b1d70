"""Leaves in the wind: tree tops and bushes sway by a pixel or two, for ever and never twice alike.

In: a picture with the plants of a layout, and a time. Out: the same picture, its plants bent where they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.world.layout import DRAWING_H, DRAWING_W, Layout
from trainer.world.pen import Image

SWAY_PX = 1.6
"""The farthest that the middle of a plant moves, pixels of the 640 pixels wide drawing."""
PERIODS_S = (1.7, 2.9, 7.3)
TOPS = {"tree": (92.0, 52.0, 44.0), "bush": (205.0, 24.0, 15.0)}
"""Height of the leaves' middle, half their width and half their height, drawing pixels."""


@dataclass(frozen=True, slots=True)
class _Plant:
    """A cut-out of the picture, where each of its pixels comes from when all is still, and how far each sways, 0..1."""

    rows: slice
    columns: slice
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    reach: NDArray[np.float32]
    phase: float


class Leaves:
    """The plants of a layout in pictures of `width` by `height` pixels."""

    def __init__(self, layout: Layout, width: int, height: int) -> None:
        self._sway_px = SWAY_PX * width / DRAWING_W
        self._plants = [_plant(layout, width, height, *each) for each in layout.plants]

    def sway(self, image: Image, t_s: float) -> None:
        """Bend the plants as the wind does at `t_s`, in place."""
        for plant in self._plants:
            shift = self._sway_px * float(np.mean([np.sin(2 * np.pi * t_s / each + plant.phase) for each in PERIODS_S]))
            here = image[plant.rows, plant.columns].copy()
            image[plant.rows, plant.columns] = cv2.remap(here, plant.x + shift * plant.reach, plant.y, cv2.INTER_LINEAR)


def _plant(layout: Layout, width: int, height: int, kind: str, x_px: float, size: float) -> _Plant:
    y_px, half_w, half_h = TOPS[kind]
    x, y = layout.place(x_px, y_px)
    half_w, half_h = (half * size * layout.zoom for half in (half_w, half_h))
    left, right = (int(np.clip(x + side * half_w / DRAWING_W, 0, 1) * width) for side in (-1, 1))
    top, bottom = (int(np.clip(y + side * half_h / DRAWING_H, 0, 1) * height) for side in (-1, 1))
    rows, columns = np.mgrid[0 : bottom - top, 0 : right - left].astype(np.float32)
    u = (columns + left + 0.5 - x * width) / (half_w / DRAWING_W * width)
    v = (rows + top + 0.5 - y * height) / (half_h / DRAWING_H * height)
    reach = (np.clip(1 - u**2, 0, 1) * np.clip(1 - v**2, 0, 1)).astype(np.float32)
    return _Plant(slice(top, bottom), slice(left, right), columns, rows, reach, phase=x_px)
