"""Motion vectors of P slices (H.264 8.4.1): predicted from neighbours of the same slice, so that no other picture is needed.

In: a grid whose earlier macroblocks are done. Out: predictions; vectors and reference indices written into the grid. B slices would need the
pictures that they refer to (direct modes), and are left out.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean
from stream.codec.h264.slice_data.bits import ABOVE, LEFT, SLOT
from stream.codec.h264.slice_data.grid import INDICES, NUM_MOTION, above_left_of, above_right_of
from stream.codec.h264.slice_data.reading import Reading

_UNKNOWN, _NONE = -2, -1
"""refIdx of a partition that is not available, and of one that is, but is intra."""
_ORDER = np.array([0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15], np.int64)
"""luma4x4BlkIdx of a block in raster order: what is decoded first (6.4.3)."""


@lean
def _near(reading: Reading, slot: int, block: int) -> tuple[int, int, int]:
    """refIdx and vector of a block (raster order) of a macroblock, -1 for none."""
    if slot < 0:
        return _UNKNOWN, 0, 0
    index = int(reading.motion[slot * NUM_MOTION + INDICES + (block >> 3) * 2 + (block & 3) // 2])
    if index < 0:
        return _NONE, 0, 0
    return (
        index,
        int(reading.motion[slot * NUM_MOTION + 2 * block]),
        int(reading.motion[slot * NUM_MOTION + 2 * block + 1]),
    )


@lean
def _left(reading: Reading, x: int, y: int) -> tuple[int, int, int]:
    state = reading.state
    if x > 0:
        return _near(reading, state[SLOT], 4 * y + x - 1)
    return _near(reading, state[LEFT], 4 * y + 3)


@lean
def _above(reading: Reading, x: int, y: int) -> tuple[int, int, int]:
    state = reading.state
    if y > 0:
        return _near(reading, state[SLOT], 4 * y - 4 + x)
    return _near(reading, state[ABOVE], 12 + x)


@lean
def _corner(reading: Reading, x: int, y: int, width: int) -> tuple[int, int, int]:
    """Above to the right of a partition `width` blocks wide, or, where that is not there yet, above to its left (6.4.11.7)."""
    state = reading.state
    right = x + width
    if y == 0:
        near = state[ABOVE] if right < 4 else above_right_of(state)
        index, vector_x, vector_y = _near(reading, near, 12 + (right & 3))
        if index != _UNKNOWN:
            return index, vector_x, vector_y
    elif right < 4 and _ORDER[4 * y - 4 + right] < _ORDER[4 * y + x]:
        return _near(reading, state[SLOT], 4 * y - 4 + right)
    if x > 0 and y > 0:
        return _near(reading, state[SLOT], 4 * y - 4 + x - 1)
    if y > 0:
        return _near(reading, state[LEFT], 4 * y - 4 + 3)
    if x > 0:
        return _near(reading, state[ABOVE], 12 + x - 1)
    return _near(reading, above_left_of(state), 15)


@lean
def _median(a: int, b: int, c: int) -> int:
    return max(min(a, b), min(max(a, b), c))


@lean
def predict(reading: Reading, x: int, y: int, width: int, height: int, index: int) -> tuple[int, int]:
    """Predicted vector of the partition at block (x, y), sides in blocks, with refIdx `index` (8.4.1.3)."""
    a, ax, ay = _left(reading, x, y)
    b, bx, by = _above(reading, x, y)
    c, cx, cy = _corner(reading, x, y, width)
    if width == 4 and height == 2:
        if y == 0 and b == index:
            return bx, by
        if y == 2 and a == index:
            return ax, ay
    if width == 2 and height == 4:
        if x == 0 and a == index:
            return ax, ay
        if x == 2 and c == index:
            return cx, cy
    if b == _UNKNOWN and c == _UNKNOWN and a != _UNKNOWN:
        return ax, ay
    if int(a == index) + int(b == index) + int(c == index) == 1:
        if a == index:
            return ax, ay
        if b == index:
            return bx, by
        return cx, cy
    return _median(ax, bx, cx), _median(ay, by, cy)


@lean
def put(reading: Reading, slot: int, x: int, y: int, width: int, height: int, vector_x: int, vector_y: int) -> None:
    """Write a partition's vector."""
    for row in range(y, y + height):
        for column in range(x, x + width):
            reading.motion[slot * NUM_MOTION + 2 * (4 * row + column)] = vector_x
            reading.motion[slot * NUM_MOTION + 2 * (4 * row + column) + 1] = vector_y
