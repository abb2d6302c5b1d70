"""Motion and residual per macroblock, at memory speed.

In: luma planes as flat bytes with their line size, and FFmpeg's motion vectors. Out: float32 [R, C] grids. Vectors are first
painted into a field of 8x8 cells, the finest partition that FFmpeg reports, then every macroblock is compared with the
previous picture where its cells point, at quarter-pel precision (bilinear), coordinates clamped to the picture.

Integer arithmetic throughout, so that the same pictures give the same bits on every machine.
Shape letters: R and C, macroblock rows and columns.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled, lean

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


@lean
def mean_qp(fields: np.ndarray, stride: int, base: int) -> float:
    """Mean quantiser from FFmpeg's per-block parameters, int32 with delta_qp last of every `stride`."""
    total = 0
    num_blocks = len(fields) // stride
    for block in range(num_blocks):
        total += fields[block * stride + stride - 1]
    return base + total / num_blocks


@lean
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
        row, column = top >> _CELL_SHIFT, left >> _CELL_SHIFT
        is_macroblock = width == MACROBLOCK_PX and height == MACROBLOCK_PX and not (top | left) & (_CELL_PX - 1)
        if is_macroblock and kind == _PAST and 0 <= row < rows - 1 and 0 <= column < columns - 1:
            source[row, column] = source[row, column + 1] = source[row + 1, column] = source[row + 1, column + 1] = kind
            field_x[row, column] = field_x[row, column + 1] = motion_x
            field_x[row + 1, column] = field_x[row + 1, column + 1] = motion_x
            field_y[row, column] = field_y[row, column + 1] = motion_y
            field_y[row + 1, column] = field_y[row + 1, column + 1] = motion_y
            continue
        last_row, last_column = min(rows, (top + height + 7) >> _CELL_SHIFT), min(columns, (left + width + 7) >> _CELL_SHIFT)
        for row in range(max(0, top >> _CELL_SHIFT), last_row):
            for column in range(max(0, left >> _CELL_SHIFT), last_column):
                if kind >= source[row, column]:
                    source[row, column] = kind
                    field_x[row, column] = motion_x
                    field_y[row, column] = motion_y


@lean
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
            _add_cell_row(now, then, pitches, width, height, 2 * row + half, field_x, field_y, sums)
        for column in range(columns):
            left = column * MACROBLOCK_PX
            right = min(width, left + MACROBLOCK_PX)
            total = np.uint32(0)
            for x in range(np.uintp(left), np.uintp(right)):
                total += np.uint32(sums[x])
            residual_RC[row, column] = total / (num_rows * (right - left))


@lean
def keep_past(field_x: np.ndarray, field_y: np.ndarray, source: np.ndarray) -> None:
    """Zero the vectors of cells that do not point into the past: those are compared in place."""
    rows, columns = source.shape
    for row in range(rows):
        for column in range(columns):
            if source[row, column] != _PAST:
                field_x[row, column] = 0
                field_y[row, column] = 0


@compiled
def grids(
    vectors: np.ndarray,
    now: np.ndarray,
    then: np.ndarray,
    pitches: tuple[int, int],
    width: int,
    height: int,
    has_past: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Motion in pixels and residual in luma levels of one frame, float32 [R, C] each; the residual is zero without a past."""
    rows, columns = (height + MACROBLOCK_PX - 1) // MACROBLOCK_PX, (width + MACROBLOCK_PX - 1) // MACROBLOCK_PX
    field_x, field_y = np.zeros((2 * rows, 2 * columns), np.int32), np.zeros((2 * rows, 2 * columns), np.int32)
    source = np.zeros((2 * rows, 2 * columns), np.uint8)
    motion_RC, residual_RC = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    if len(vectors):
        paint_vectors(vectors, field_x, field_y, source)
        motion_grid(field_x, field_y, motion_RC)
    if has_past:
        keep_past(field_x, field_y, source)
        residual_grid(now, then, pitches, width, height, field_x, field_y, residual_RC)
    return motion_RC, residual_RC


def warm_up() -> None:
    """Compile (or load from the cache) every function here."""
    mean_qp(_frozen(np.zeros(5, np.int32)), 5, 26)
    luma = _frozen(np.zeros(32 * 32, np.uint8))
    grids(_frozen(np.zeros(1, MOTION_VECTOR)), luma, luma, (32, 32), 32, 32, True)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Read-only, as arrays over FFmpeg's buffers are: numba compiles these apart."""
    array.flags.writeable = False
    return array
