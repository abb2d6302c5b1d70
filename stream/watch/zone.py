"""Where a watch looks: blocks outside its polygons do not count.

In: a group, polygons. Out: the same group with every block whose middle lies outside all polygons painted in one grey, so that nothing
there can be seen; source positions stay.

Shape letters: P patches, B blocks of a group, K corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ov2.canvas import BLOCK_PATCHES, BLOCK_PX, PATCH_PX, CanvasGroup

Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y), from 0 to 1 over the picture, x to the right and y down."""
MOST_CORNERS = 64
LEAST_AREA = 1e-3
"""Of the picture: a smaller polygon holds no block."""
GREY = 127


def check_polygon(polygon: Polygon) -> None:
    """Raises `ValueError` for what is no area of the picture."""
    if not 3 <= len(polygon) <= MOST_CORNERS:
        raise ValueError(f"expected a polygon of 3 to {MOST_CORNERS} corners, got {len(polygon)}")
    corners_K2 = np.asarray(polygon, float)
    if not np.isfinite(corners_K2).all() or corners_K2.min() < 0 or corners_K2.max() > 1:
        raise ValueError("expected corners [x, y] from 0 to 1, over the width and height of the picture")
    if _crosses_itself(corners_K2):
        raise ValueError("expected a polygon whose sides do not cross; give its corners in order around it")
    x_K, y_K = corners_K2.T
    area = abs(np.dot(x_K, np.roll(y_K, 1)) - np.dot(y_K, np.roll(x_K, 1))) / 2
    if area < LEAST_AREA:
        raise ValueError(f"expected a polygon of at least {LEAST_AREA:.1%} of the picture, got {area:.3%}")


def is_inside(points_B2: np.ndarray, zone: Sequence[Polygon]) -> np.ndarray:
    """bool [B]: which points (x, y) lie in any of the polygons, by the even-odd rule."""
    inside_B = np.zeros(len(points_B2), bool)
    x_B, y_B = points_B2.T
    for polygon in zone:
        odd_B = np.zeros(len(points_B2), bool)
        corners_K2 = np.asarray(polygon, float)
        for (x0, y0), (x1, y1) in zip(corners_K2, np.roll(corners_K2, -1, axis=0), strict=True):
            if y0 == y1:
                continue
            between_B = (y_B < y0) != (y_B < y1)
            odd_B ^= between_B & (x_B < x0 + (y_B - y0) * (x1 - x0) / (y1 - y0))
        inside_B |= odd_B
    return inside_B


def only_inside(group: CanvasGroup, zone: Sequence[Polygon]) -> CanvasGroup:
    """The group as a camera would see it that sees nothing outside `zone`."""
    num, height, width, _ = group.canvases.shape
    rows, cols = height // BLOCK_PX, width // BLOCK_PX
    first_B2 = group.positions[::BLOCK_PATCHES, 1:]
    middles_B2 = (first_B2[:, ::-1] * PATCH_PX + BLOCK_PX / 2) / (width, height)
    outside_B = ~is_inside(middles_B2, zone)
    canvases = group.canvases.copy()
    tiles = canvases.reshape(num, rows, BLOCK_PX, cols, BLOCK_PX, 3).transpose(0, 1, 3, 2, 4, 5)
    tiles[outside_B.reshape(num, rows, cols)] = GREY
    return replace(group, canvases=canvases)


def _crosses_itself(corners_K2: np.ndarray) -> bool:
    """Whether two sides that are no neighbours meet."""
    num = len(corners_K2)
    ends = [(corners_K2[index], corners_K2[(index + 1) % num]) for index in range(num)]
    pairs = ((i, j) for i in range(num) for j in range(i + 2, num) if (i, j) != (0, num - 1))
    return any(_meet(*ends[i], *ends[j]) for i, j in pairs)


def _meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> bool:
    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
