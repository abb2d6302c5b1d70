"""Motion, residual and change per macroblock, at memory speed.

In: luma planes as flat bytes with their line size, and FFmpeg's motion vectors. Out: float32 [R, C] grids. Vectors are first
painted into a field of 8x8 cells (motion.py), then every macroblock is compared with the
previous picture where its cells point, at quarter-pel precision (bilinear), coordinates clamped to the picture; and, where it moves,
in place too, while its rows are still in the nearest cache.

Integer arithmetic throughout, so that the same pictures give the same bits on every machine.
Shape letters: R and C, macroblock rows and columns.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled, lean
from stream.codec.motion import MACROBLOCK_PX, MOTION_VECTOR, keep_past, motion_grid, paint_vectors

_CELL_PX = 8
MOVED_PX = 0.25
"""A macroblock that moves less than this was compared in place already."""
_EVERY_ROW = 2
"""Rows from one compared row to the next where the change in place is measured."""


@lean
def _gap(x: np.uint8, y: np.uint8) -> np.uint16:
    """|x - y|, in types that stay narrow, so that many fit a vector."""
    return np.uint16(np.uint8(max(x, y) - min(x, y)))


@lean
def _add_plain(
    now: np.ndarray,
    now_at: int,
    then: np.ndarray,
    then_at: int,
    pitches: tuple[int, int],
    sums: np.ndarray,
    first: int,
    end: int,
) -> None:
    """Add |now - then| over eight rows to the column sums from `first` to `end`, whole-pel. The rows are written out, so that the
    loop runs on vectors along the columns and reads and writes each sum once."""
    a, b = np.uintp(pitches[0]), np.uintp(pitches[1])
    a0, b0 = np.uintp(now_at), np.uintp(then_at)
    a1, b1 = a0 + a, b0 + b
    a2, b2 = a1 + a, b1 + b
    a3, b3 = a2 + a, b2 + b
    a4, b4 = a3 + a, b3 + b
    a5, b5 = a4 + a, b4 + b
    a6, b6 = a5 + a, b5 + b
    a7, b7 = a6 + a, b6 + b
    for i in range(np.uintp(end - first)):
        total = np.uint16(sums[np.uintp(first) + i] + _gap(now[a0 + i], then[b0 + i]))
        total = np.uint16(total + _gap(now[a1 + i], then[b1 + i]))
        total = np.uint16(total + _gap(now[a2 + i], then[b2 + i]))
        total = np.uint16(total + _gap(now[a3 + i], then[b3 + i]))
        total = np.uint16(total + _gap(now[a4 + i], then[b4 + i]))
        total = np.uint16(total + _gap(now[a5 + i], then[b5 + i]))
        total = np.uint16(total + _gap(now[a6 + i], then[b6 + i]))
        total = np.uint16(total + _gap(now[a7 + i], then[b7 + i]))
        sums[np.uintp(first) + i] = total


@lean
def _between(left: np.uint8, right: np.uint8, left_share: np.uint16, right_share: np.uint16) -> np.uint16:
    """Two neighbours by their shares, in quarters."""
    return np.uint16(np.uint16(left_share * np.uint16(left)) + np.uint16(right_share * np.uint16(right)))


@lean
def _gap_between(now: np.uint8, above: np.uint16, below: np.uint16, share: np.uint16, rest: np.uint16) -> np.uint16:
    """|now - bilinear value| from two lines in quarters."""
    y = np.uint16(np.uint16(np.uint16(share * above) + np.uint16(rest * below)) + np.uint16(8)) >> np.uint16(4)
    return _gap(now, np.uint8(y))


@lean
def _add_bilinear(
    now: np.ndarray,
    now_at: int,
    then: np.ndarray,
    then_at: int,
    pitches: tuple[int, int],
    parts: tuple[int, int],
    sums: np.ndarray,
    first: int,
    end: int,
) -> None:
    """The same with `then` taken `parts` (x, y) quarters of a pixel further. A neighbour whose share is nothing may lie outside the
    picture: the sample itself is read in its place."""
    part_x, part_y = parts
    right_share, below_share = np.uint16(part_x), np.uint16(part_y)
    left_share, above_share = np.uint16(4 - part_x), np.uint16(4 - part_y)
    right = np.uintp(1 if part_x else 0)
    a, b = np.uintp(pitches[0]), np.uintp(pitches[1])
    a0, b0 = np.uintp(now_at), np.uintp(then_at)
    a1, b1 = a0 + a, b0 + b
    a2, b2 = a1 + a, b1 + b
    a3, b3 = a2 + a, b2 + b
    a4, b4 = a3 + a, b3 + b
    a5, b5 = a4 + a, b4 + b
    a6, b6 = a5 + a, b5 + b
    a7, b7 = a6 + a, b6 + b
    b8 = b7 + np.uintp(pitches[1] if part_y else 0)
    for i in range(np.uintp(end - first)):
        total = sums[np.uintp(first) + i]
        above = _between(then[b0 + i], then[b0 + i + right], left_share, right_share)
        below = _between(then[b1 + i], then[b1 + i + right], left_share, right_share)
        total = np.uint16(total + _gap_between(now[a0 + i], above, below, above_share, below_share))
        above = _between(then[b2 + i], then[b2 + i + right], left_share, right_share)
        total = np.uint16(total + _gap_between(now[a1 + i], below, above, above_share, below_share))
        below = _between(then[b3 + i], then[b3 + i + right], left_share, right_share)
        total = np.uint16(total + _gap_between(now[a2 + i], above, below, above_share, below_share))
        above = _between(then[b4 + i], then[b4 + i + right], left_share, right_share)
        total = np.uint16(total + _gap_between(now[a3 + i], below, above, above_share, below_share))
        below = _between(then[b5 + i], then[b5 + i + right], left_share, right_share)
        total = np.uint16(total + _gap_between(now[a4 + i], above, below, above_share, below_share))
        above = _between(then[b6 + i], then[b6 + i + right], left_share, right_share)
        total = np.uint16(total + _gap_between(now[a5 + i], below, above, above_share, below_share))
        below = _between(then[b7 + i], then[b7 + i + right], left_share, right_share)
        total = np.uint16(total + _gap_between(now[a6 + i], above, below, above_share, below_share))
        above = _between(then[b8 + i], then[b8 + i + right], left_share, right_share)
        total = np.uint16(total + _gap_between(now[a7 + i], below, above, above_share, below_share))
        sums[np.uintp(first) + i] = total


@lean
def _add_clamped(
    now: np.ndarray,
    then: np.ndarray,
    pitches: tuple[int, int],
    width: int,
    height: int,
    left: int,
    top: int,
    motion: tuple[int, int],
    sums: np.ndarray,
) -> None:
    """The same for one cell that touches the border, here or in the previous picture: coordinates are clamped."""
    part_x, part_y = motion[0] & 3, motion[1] & 3
    for y in range(top, min(height, top + _CELL_PX)):
        y0 = min(max(y + (motion[1] >> 2), 0), height - 1) * pitches[1]
        y1 = min(max(y + (motion[1] >> 2) + 1, 0), height - 1) * pitches[1]
        for x in range(left, min(width, left + _CELL_PX)):
            x0 = min(max(x + (motion[0] >> 2), 0), width - 1)
            x1 = min(max(x + (motion[0] >> 2) + 1, 0), width - 1)
            above = (4 - part_x) * int(then[y0 + x0]) + part_x * int(then[y0 + x1])
            below = (4 - part_x) * int(then[y1 + x0]) + part_x * int(then[y1 + x1])
            value = ((4 - part_y) * above + part_y * below + 8) >> 4
            sums[x] += abs(int(now[y * pitches[0] + x]) - value)


@lean
def _add_cell_row(
    now: np.ndarray,
    then: np.ndarray,
    pitches: tuple[int, int],
    width: int,
    height: int,
    row: int,
    field_x: np.ndarray,
    field_y: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Column sums of one row of cells. Neighbours that move alike are compared in one stretch, which is what makes it fast."""
    num_cells, top = np.uintp((width + _CELL_PX - 1) // _CELL_PX), row * _CELL_PX
    one, line = np.uintp(1), np.uintp(row)
    cell = np.uintp(0)
    while cell < num_cells:
        x, y = field_x[line, cell], field_y[line, cell]
        part_x, part_y, whole_x, whole_y = int(x) & 3, int(y) & 3, int(x) >> 2, int(y) >> 2
        left = int(cell) * _CELL_PX
        rows_inside = top + _CELL_PX <= height and top + whole_y >= 0 and top + whole_y + _CELL_PX + (part_y != 0) <= height
        first_inside = max(0, -whole_x)
        last_inside = min(width, width - whole_x - (part_x != 0))
        if not rows_inside or left < first_inside or left + _CELL_PX > last_inside:
            _add_clamped(now, then, pitches, width, height, left, top, (int(x), int(y)), sums)
            cell += one
            continue
        last_cell = np.uintp(last_inside // _CELL_PX)
        cell += one
        while cell < last_cell and field_x[line, cell] == x and field_y[line, cell] == y:
            cell += one
        end = int(cell) * _CELL_PX
        now_at = top * pitches[0] + left
        then_at = (top + whole_y) * pitches[1] + left + whole_x
        if part_x or part_y:
            _add_bilinear(now, now_at, then, then_at, pitches, (part_x, part_y), sums, left, end)
        else:
            _add_plain(now, now_at, then, then_at, pitches, sums, left, end)


@lean
def change_where_moved(
    now: np.ndarray,
    then: np.ndarray,
    pitches: tuple[int, int],
    width: int,
    height: int,
    row: int,
    motion_RC: np.ndarray,
    change_RC: np.ndarray,
) -> None:
    """Mean |luma - previous luma| of those macroblocks of one row that move, into `change_RC`; every second row is enough."""
    top = row * MACROBLOCK_PX
    bottom = min(height, top + MACROBLOCK_PX)
    num_rows = (bottom - top + _EVERY_ROW - 1) // _EVERY_ROW
    for column in range(change_RC.shape[1]):
        if motion_RC[row, column] < MOVED_PX:
            continue
        left = column * MACROBLOCK_PX
        num_columns, total = min(MACROBLOCK_PX, width - left), np.int32(0)
        for y in range(top, bottom, _EVERY_ROW):
            here, there = np.uintp(y * pitches[0] + left), np.uintp(y * pitches[1] + left)
            for x in range(np.uintp(num_columns)):
                total += abs(np.int32(now[here + x]) - np.int32(then[there + x]))
        change_RC[row, column] = total / (num_rows * num_columns)


@compiled
def residual_grid(
    now: np.ndarray,
    then: np.ndarray,
    pitches: tuple[int, int],
    width: int,
    height: int,
    field_x: np.ndarray,
    field_y: np.ndarray,
    motion_RC: np.ndarray,
    residual_RC: np.ndarray,
    change_RC: np.ndarray,
) -> None:
    """Mean |luma - motion-compensated previous luma| of each macroblock's displayed pixels, by the vectors of its cells, and mean
    |luma - previous luma|, which is the same where nothing moves."""
    rows, columns = residual_RC.shape
    sums = np.empty(width, np.uint16)
    for row in range(rows):
        num_rows = min(MACROBLOCK_PX, height - MACROBLOCK_PX * row)
        sums[:] = 0
        for half in range((num_rows + _CELL_PX - 1) // _CELL_PX):
            _add_cell_row(now, then, pitches, width, height, 2 * row + half, field_x, field_y, sums)
        for column in range(columns):
            left = column * MACROBLOCK_PX
            right = min(width, left + MACROBLOCK_PX)
            total = np.uint32(0)
            for x in range(np.uintp(left), np.uintp(right)):
                total += np.uint32(sums[x])
            residual_RC[row, column] = change_RC[row, column] = total / (num_rows * (right - left))
        change_where_moved(now, then, pitches, width, height, row, motion_RC, change_RC)


@compiled
def grids(
    vectors: np.ndarray,
    now: np.ndarray,
    then: np.ndarray,
    pitches: tuple[int, int],
    width: int,
    height: int,
    has_past: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Motion in pixels, residual and change in luma levels of one frame, float32 [R, C] each; the last two are zero without a past."""
    rows, columns = (height + MACROBLOCK_PX - 1) // MACROBLOCK_PX, (width + MACROBLOCK_PX - 1) // MACROBLOCK_PX
    field_x, field_y = np.zeros((2 * rows, 2 * columns), np.int32), np.zeros((2 * rows, 2 * columns), np.int32)
    source = np.zeros((2 * rows, 2 * columns), np.uint8)
    motion_RC, residual_RC = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    change_RC = np.zeros((rows, columns), np.float32)
    if len(vectors):
        paint_vectors(vectors, field_x, field_y, source)
        motion_grid(field_x, field_y, motion_RC)
    if has_past:
        keep_past(field_x, field_y, source)
        residual_grid(now, then, pitches, width, height, field_x, field_y, motion_RC, residual_RC, change_RC)
    return motion_RC, residual_RC, change_RC


def warm_up() -> None:
    """Compile (or load from the cache) every function here."""
    luma = _frozen(np.zeros(32 * 32, np.uint8))
    grids(_frozen(np.zeros(1, MOTION_VECTOR)), luma, luma, (32, 32), 32, 32, True)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Read-only, as arrays over FFmpeg's buffers are: numba compiles these apart."""
    array.flags.writeable = False
    return array
