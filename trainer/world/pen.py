"""Antialiased drawing in drawing pixels (640x360) on a picture of any size.

In: points of the 640x360 drawing, or of a sprite's own frame set by `at`. Out: pixels changed in place. Every shape is a
filled polygon with sub-pixel corners; colours pass through `light`, so that dusk and lamplight fall on sprites too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.world.layout import DRAWING_H, DRAWING_W, RGB

Points = Sequence[tuple[float, float]]
Image = NDArray[np.uint8]
Light = tuple[float, float, float]

SHIFT = 4
"""Bits of sub-pixel position in OpenCV's drawing calls."""
SUB = 1 << SHIFT
ROUND_END = ((1.0, 0.0), (0.7, 0.7), (0.0, 1.0), (-0.7, 0.7), (-1.0, 0.0))
"""Across and along, in radii: the round end of a bar."""


@lru_cache(maxsize=16)
def circle(corners: int) -> tuple[tuple[float, float], ...]:
    """Corners of a unit circle."""
    angles = (2 * math.pi * k / corners for k in range(corners))
    return tuple((math.cos(a), math.sin(a)) for a in angles)


class Pen:
    """Draws on `image` [H, W, 3]. `at` sets a sprite's frame: origin and unit in drawing pixels; `facing` -1 mirrors it."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.scale_x = image.shape[1] / DRAWING_W
        self.scale_y = image.shape[0] / DRAWING_H
        self.light: Light = (1.0, 1.0, 1.0)
        self.at(0.0, 0.0)

    def at(self, x: float, y: float, unit: float = 1.0, facing: int = 1) -> None:
        self._ax, self._ay = self.scale_x * unit * facing * SUB, self.scale_y * unit * SUB
        self._bx, self._by = self.scale_x * x * SUB + 0.5, self.scale_y * y * SUB + 0.5

    def colour(self, rgb: RGB) -> RGB:
        r, g, b = self.light
        return min(255, int(rgb[0] * r)), min(255, int(rgb[1] * g)), min(255, int(rgb[2] * b))

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        ax, ay, bx, by = self._ax, self._ay, self._bx, self._by
        return np.array([(int(x * ax + bx), int(y * ay + by)) for x, y in points], np.int32)

    def convex(self, points: Points, rgb: RGB) -> None:
        cv2.fillConvexPoly(self.image, self._fixed(points), self.colour(rgb), cv2.LINE_AA, SHIFT)

    def polygon(self, points: Points, rgb: RGB) -> None:
        cv2.fillPoly(self.image, [self._fixed(points)], self.colour(rgb), cv2.LINE_AA, SHIFT)

    def oval(self, x: float, y: float, rx: float, ry: float, rgb: RGB, *, corners: int = 20) -> None:
        self.convex([(x + rx * c, y + ry * s) for c, s in circle(corners)], rgb)

    def box(self, x0: float, y0: float, x1: float, y1: float, rgb: RGB) -> None:
        self.convex(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), rgb)

    def limb(self, p: tuple[float, float], q: tuple[float, float], width_p: float, width_q: float, rgb: RGB) -> None:
        """A tapered bar from p to q with round ends; widths are diameters at the ends."""
        dx, dy = q[0] - p[0], q[1] - p[1]
        n = math.hypot(dx, dy) or 1.0
        ux, uy, rp, rq = dx / n, dy / n, -width_p / 2, width_q / 2
        points = [
            (p[0] + rp * (along * ux - across * uy), p[1] + rp * (along * uy + across * ux)) for across, along in ROUND_END
        ]
        points += [
            (q[0] + rq * (along * ux - across * uy), q[1] + rq * (along * uy + across * ux)) for across, along in ROUND_END
        ]
        self.convex(points, rgb)

    def line(self, points: Points, width: float, rgb: RGB) -> None:
        """An open line; the width is in drawing pixels, at least one picture pixel."""
        thickness = max(1, round(width * self.scale_y))
        cv2.polylines(self.image, [self._fixed(points)], False, self.colour(rgb), thickness, cv2.LINE_AA, SHIFT)

    def shade(self, points: Points, strength: float) -> None:
        """Darken what lies under a polygon: a shadow. `strength` 0 none to 1 black."""
        fixed = self._fixed(points)
        height, width = self.image.shape[:2]
        x0, y0 = (max(0, int(low) // SUB) for low in fixed.min(axis=0))
        x1, y1 = (min(limit, int(high) // SUB + 2) for high, limit in zip(fixed.max(axis=0), (width, height), strict=True))
        if x1 <= x0 or y1 <= y0:
            return
        under = self.image[y0:y1, x0:x1]
        keep = np.full(under.shape, 255, np.uint8)
        left = round(255 * (1 - strength))
        cv2.fillPoly(keep, [fixed - (x0 * SUB, y0 * SUB)], (left, left, left), cv2.LINE_AA, SHIFT)
        cv2.multiply(under, keep, dst=under, scale=1 / 255)


def tinted(rgb: RGB, factor: float) -> RGB:
    """A lighter (above 1) or darker colour."""
    return min(255, int(rgb[0] * factor)), min(255, int(rgb[1] * factor)), min(255, int(rgb[2] * factor))
