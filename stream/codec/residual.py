"""Motion and residual per macroblock, at memory speed.

In: luma planes as flat bytes with their line size, and FFmpeg's motion vectors. Out: float32 [R, C] grids. Vectors are first
painted into a field of 8x8 cells, the finest partition that FFmpeg reports, then every macroblock is compared with the
previous picture where its cells point, at quarter-pel precision (bilinear), coordinates clamped to the picture.

Integer arithmetic throughout, so that the same pictures give the same bits on every machine.
Shape letters: R and C, macroblock rows and columns.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled

MACROBLOCK_PX = 16
_CELL_PX, _CELL_SHIFT = 8, 3
_QUARTER_PEL = 4
_FUTURE, _PAST = 1, 2

MOTION_VECTOR = np.dtype(
    [
        ("source", np.int32),
        ("w", np.uint8),
        ("h", np.uint8),
        ("src_x", np.int16),
        ("src_y", np.int16),
        ("dst_x", np.int16),
        ("dst_y", np.int16),
        ("flags", np.uint64),
        ("motion_x", np.int32),
        ("motion_y", np.int32),
        ("motion_scale", np.uint16),
    ],
    align=True,
)
"""FFmpeg's AVMotionVector: (dst_x, dst_y) is the centre of the block, source < 0 a past picture, > 0 a future one."""


@compiled
def mean_qp(fields: np.ndarray, stride: int, base: int) -> float:
    """Mean quantiser from FFmpeg's per-block parameters, int32 with delta_qp last of every `stride`."""
    total = 0
    num_blocks = len(fields) // stride
    for block in range(num_blocks):
        total += fields[block * stride + stride - 1]
    return base + total / num_blocks


@compiled
def paint_vectors(vectors: np.ndarray, field_x: np.ndarray, field_y: np.ndarray, source: np.ndarray) -> None:
    """Quarter-pel vectors of every 8x8 cell, int32 [2R, 2C]; `source` uint8 is 0 none, 1 future, 2 past. Past wins: only past
    pictures are at hand when evidence is measured."""
    rows, columns = source.shape
    for index in range(len(vectors)):
        vector = vectors[index]
        kind = _PAST if vector["source"] < 0 else _FUTURE
        motion_x, motion_y = int(vector["motion_x"]), int(vector["motion_y"])
        scale = int(vector["motion_scale"])
        if scale != _QUARTER_PEL and scale > 0:
            motion_x, motion_y = motion_x * _QUARTER_PEL // scale, motion_y * _QUARTER_PEL // scale
        width, height = int(vector["w"]), int(vector["h"])
        left = int(vector["dst_x"]) - (width >> 1)
        top = int(vector["dst_y"]) - (height >> 1)
        last_row, last_column = min(rows, (top + height + 7) >> _CELL_SHIFT), min(columns, (left + width + 7) >> _CELL_SHIFT)
        for row in range(max(0, top >> _CELL_SHIFT), last_row):
            for column in range(max(0, left >> _CELL_SHIFT), last_column):
                if kind >= source[row, column]:
                    source[row, column] = kind
                    field_x[row, column] = motion_x
                    field_y[row, column] = motion_y


@compiled
def motion_grid(field_x: np.ndarray, field_y: np.ndarray, motion_RC: np.ndarray) -> None:
    """Mean vector magnitude of the four cells of each macroblock, luma pixels."""
    rows, columns = motion_RC.shape
    for row in range(rows):
        for column in range(columns):
            total = 0.0
            for cell in range(4):
                x = field_x[2 * row + cell // 2, 2 * column + cell % 2]
                y = field_y[2 * row + cell // 2, 2 * column + cell % 2]
                if x or y:
                    total += np.sqrt(float(x * x + y * y))
            motion_RC[row, column] = total / 16.0


@compiled
def _add_plain(
    now: np.ndarray, now_at: int, then: np.ndarray, then_at: int, pitches: tuple[int, int], sums: np.ndarray
) -> None:
    """Add |now - then| over eight rows to the column sums, whole-pel."""
    width = np.uintp(len(sums))
    for row in range(_CELL_PX):
        a = np.uintp(now_at + row * pitches[0])
        b = np.uintp(then_at + row * pitches[1])
        for i in range(width):
            x, y = now[a + i], then[b + i]
            sums[i] = np.uint16(sums[i] + np.uint16(np.uint8(max(x, y) - min(x, y))))


@compiled
def _add_bilinear(
    now: np.ndarray,
    now_at: int,
    then: np.ndarray,
    then_at: int,
    pitches: tuple[int, int],
    parts: tuple[int, int],
    sums: np.ndarray,
) -> None:
    """The same with `then` taken `parts` (x, y) quarters of a pixel further."""
    width = np.uintp(len(sums))
    part_x, part_y = parts
    w00, w01 = np.uint16((4 - part_x) * (4 - part_y)), np.uint16(part_x * (4 - part_y))
    w10, w11 = np.uint16((4 - part_x) * part_y), np.uint16(part_x * part_y)
    one = np.uintp(1)
    for row in range(_CELL_PX):
        a = np.uintp(now_at + row * pitches[0])
        b = np.uintp(then_at + row * pitches[1])
        c = b + np.uintp(pitches[1])
        for i in range(width):
            above = np.uint16(np.uint16(w00 * np.uint16(then[b + i])) + np.uint16(w01 * np.uint16(then[b + i + one])))
            below = np.uint16(np.uint16(w10 * np.uint16(then[c + i])) + np.uint16(w11 * np.uint16(then[c + i + one])))
            y = np.uint16(np.uint16(above + below + np.uint16(8)) >> np.uint16(4))
            x = np.uint16(now[a + i])
            sums[i] = np.uint16(sums[i] + np.uint16(max(x, y) - min(x, y)))


@compiled
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
            sums[x - left] += abs(int(now[y * pitches[0] + x]) - value)


@compiled
def _add_cell_row(
    now: np.ndarray,
    then: np.ndarray,
    pitches: tuple[int, int],
    width: int,
    height: int,
    top: int,
    motion_x: np.ndarray,
    motion_y: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Column sums of one row of cells. Neighbours that move alike are compared in one stretch, which is what makes it fast."""
    num_cells = (width + _CELL_PX - 1) // _CELL_PX
    cell = 0
    while cell < num_cells:
        x, y = int(motion_x[cell]), int(motion_y[cell])
        left = cell * _CELL_PX
        first_row, last_row = top + (y >> 2), top + (y >> 2) + _CELL_PX + (y & 3 != 0)
        rows_inside = top + _CELL_PX <= height and first_row >= 0 and last_row <= height
        first_inside = max(0, -(x >> 2))
        last_inside = min(width, width - (x >> 2) - (x & 3 != 0))
        end = cell + 1
        if not rows_inside or left < first_inside or left + _CELL_PX > last_inside:
            _add_clamped(now, then, pitches, width, height, left, top, (x, y), sums[left : min(width, left + _CELL_PX)])
            cell = end
            continue
        while end < num_cells and motion_x[end] == x and motion_y[end] == y and (end + 1) * _CELL_PX <= last_inside:
            end += 1
        now_at = top * pitches[0] + left
        then_at = (top + (y >> 2)) * pitches[1] + left + (x >> 2)
        stretch = sums[left : end * _CELL_PX]
        if (x | y) & 3:
            _add_bilinear(now, now_at, then, then_at, pitches, (x & 3, y & 3), stretch)
        else:
            _add_plain(now, now_at, then, then_at, pitches, stretch)
        cell = end


@compiled
def residual_grid(
    now: np.ndarray,
    then: np.ndarray,
    pitches: tuple[int, int],
    width: int,
    height: int,
    field_x: np.ndarray,
    field_y: np.ndarray,
    residual_RC: np.ndarray,
) -> None:
    """Mean |luma - motion-compensated previous luma| of each macroblock's displayed pixels, by the vectors of its cells."""
    rows, columns = residual_RC.shape
    sums = np.empty(width, np.uint16)
    for row in range(rows):
        num_rows = min(MACROBLOCK_PX, height - MACROBLOCK_PX * row)
        sums[:] = 0
        for half in range((num_rows + _CELL_PX - 1) // _CELL_PX):
            cells = 2 * row + half
            _add_cell_row(now, then, pitches, width, height, cells * _CELL_PX, field_x[cells], field_y[cells], sums)
        for column in range(columns):
            left = column * MACROBLOCK_PX
            right = min(width, left + MACROBLOCK_PX)
            total = 0
            for x in range(left, right):
                total += sums[x]
            residual_RC[row, column] = total / (num_rows * (right - left))


@compiled
def keep_past(field_x: np.ndarray, field_y: np.ndarray, source: np.ndarray) -> None:
    """Zero the vectors of cells that do not point into the past: those are compared in place."""
    rows, columns = source.shape
    for row in range(rows):
        for column in range(columns):
            if source[row, column] != _PAST:
                field_x[row, column] = 0
                field_y[row, column] = 0


def warm_up() -> None:
    """Compile (or load from the cache) every function here."""
    mean_qp(_frozen(np.zeros(5, np.int32)), 5, 26)
    field = np.zeros((4, 4), np.int32)
    source = np.zeros((4, 4), np.uint8)
    grid = np.zeros((2, 2), np.float32)
    paint_vectors(_frozen(np.zeros(1, MOTION_VECTOR)), field, field, source)
    motion_grid(field, field, grid)
    keep_past(field, field, source)
    luma = _frozen(np.zeros(32 * 32, np.uint8))
    residual_grid(luma, luma, (32, 32), 32, 32, field, field, grid)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Read-only, as arrays over FFmpeg's buffers are: numba compiles these apart."""
    array.flags.writeable = False
    return array
