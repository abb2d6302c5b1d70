"""Paints what never moves: sky, street, lawn, house, sign, plants; and the door at any opening. Once per seed and size.

In: a layout and a picture size. Out: uint8 pictures, lit by the hour, with the lamp off or on. The raw painting is made in full
daylight; light is a gain and a glow per pixel, so that a cut-out (the door) is lit exactly as the whole.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.world import layout as place
from trainer.world.house import paint_door, paint_house, paint_lamplit, paint_own_light
from trainer.world.layout import Layout
from trainer.world.pen import Image, Light, Pen
from trainer.world.yard import paint_ground, paint_plants, paint_sky

DOOR_STEPS = 8
"""Openings of the door that are told apart."""
GLOW_RGB = (255.0, 196.0, 104.0)
HALO_RADIUS = 92.0
"""Reach of the lamp's light on the wall, drawing pixels."""


class Backdrop:
    """The still parts of a yard at one size. `picture(lamp_on)` [H, W, 3]; `door(lamp_on, fraction)` -> (y0, x0, cut-out)."""

    def __init__(self, layout: Layout, width: int, height: int) -> None:
        self.layout, self.width, self.height = layout, width, height
        self._raw = self._paint()
        self._gain, self._glow = self._light()
        self._pictures: dict[bool, Image] = {}
        self._doors: dict[tuple[bool, int], Image] = {}
        x0, y0 = layout.place(place.DOOR_X - place.DOOR_HALF_W - 26, place.DOOR_TOP - 12)
        x1, y1 = layout.place(place.DOOR_X + place.DOOR_HALF_W + 26, place.DOOR_BASE + 8)
        x0, x1 = min(x0, x1), max(x0, x1)
        self._door_rows = slice(int(y0 * height), int(y1 * height) + 1)
        self._door_columns = slice(int(x0 * width), int(x1 * width) + 1)

    def picture(self, lamp_on: bool) -> Image:
        if lamp_on not in self._pictures:
            self._pictures[lamp_on] = self._lit(self._raw, slice(None), slice(None), lamp_on)
        return self._pictures[lamp_on]

    def door(self, lamp_on: bool, fraction: float) -> tuple[slice, slice, Image]:
        """The door's cut-out and where it belongs; `fraction` 0 shut to 1 open, in DOOR_STEPS steps."""
        step = round(fraction * DOOR_STEPS)
        key = (lamp_on, step)
        rows, columns = self._door_rows, self._door_columns
        if key not in self._doors:
            raw = self._raw.copy()
            paint_door(Pen(raw), self.layout, step / DOOR_STEPS)
            self._doors[key] = self._lit(raw[rows, columns], rows, columns, lamp_on, step / DOOR_STEPS)
        return rows, columns, self._doors[key]

    def light_at(self, x: float, y: float, lamp_on: bool) -> Light:
        """Light that falls on a sprite at a picture point: the hour's, softened, and the lamp's when near."""
        r, g, b = (0.4 + 0.6 * value for value in self.layout.daylight)
        if lamp_on:
            lamp_x, lamp_y = self.layout.place(place.LAMP_X, place.LAMP_Y)
            distance = ((x - lamp_x) * place.DRAWING_W) ** 2 + ((y - lamp_y) * place.DRAWING_H - 40) ** 2
            warm = 0.30 * float(np.exp(-distance / (2 * 90.0**2)))
            r, g, b = r + warm, g + warm * 0.75, b + warm * 0.4
        return r, g, b

    def _paint(self) -> Image:
        image = np.zeros((self.height, self.width, 3), np.uint8)
        pen = Pen(image)
        paint_sky(pen, self.layout)
        paint_ground(pen, self.layout)
        paint_house(pen, self.layout)
        paint_plants(pen, self.layout)
        paint_door(pen, self.layout, 0.0)
        return image

    def _light(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gain of the hour, darker to the corners, and glow of the lamp: float32 [H, W, 3] each, smooth, so made small."""
        small_w, small_h = max(8, self.width // 4), max(8, self.height // 4)
        y, x = np.mgrid[0:small_h, 0:small_w].astype(np.float32) + 0.5
        x, y = x / small_w, y / small_h
        vignette = 1.0 - 0.28 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
        lamp_x, lamp_y = self.layout.place(place.LAMP_X, place.LAMP_Y)
        dx, dy = (x - lamp_x) * place.DRAWING_W, (y - lamp_y) * place.DRAWING_H
        near, far = dx * dx + dy * dy, dx * dx + (dy - 14) ** 2
        glow = 0.30 * np.exp(-far / HALO_RADIUS**2) + 0.10 * np.exp(-far / (4 * HALO_RADIUS**2)) + 0.8 * np.exp(-near / 24**2)
        glow = self._resized(glow) * self._lamplit()
        return (
            (self._resized(vignette)[..., None] * np.asarray(self.layout.daylight, np.float32)).astype(np.float32),
            (glow[..., None] * np.asarray(GLOW_RGB, np.float32)).astype(np.float32),
        )

    def _resized(self, small: NDArray[np.float32]) -> NDArray[np.float32]:
        size = (self.width, self.height)
        return np.asarray(cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), np.float32)

    def _lamplit(self) -> NDArray[np.float32]:
        """1 where the lamp's light falls on wall and ground near by, little where there is only air and distance."""
        mask = np.full((self.height, self.width, 3), 60, np.uint8)
        paint_lamplit(Pen(mask), self.layout)
        return mask[..., 0].astype(np.float32) / np.float32(255)

    def _lit(self, raw: Image, rows: slice, columns: slice, lamp_on: bool, fraction: float = 0.0) -> Image:
        light = raw * self._gain[rows, columns]
        if lamp_on:
            light += self._glow[rows, columns] * (0.45 + 0.55 * raw / 255.0)
        own = self._own_light(fraction)[rows, columns]
        light = np.where(own > 0, np.maximum(light, raw), light)
        return np.asarray(np.clip(light, 0, 255), np.uint8)

    def _own_light(self, fraction: float) -> Image:
        """Where the picture shines by itself: lit rooms behind glass and behind the open part of the door."""
        mask = np.zeros((self.height, self.width, 3), np.uint8)
        paint_own_light(Pen(mask), self.layout, fraction)
        return mask
