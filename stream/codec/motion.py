"""What a decoder tells beside the pixels: motion vectors as a field, and the quantiser.

In: FFmpeg's motion vectors and block parameters. Out: int32 quarter-pel vectors of every 8x8 cell, the finest partition that FFmpeg
reports; motion per macroblock; the mean quantiser.

Shape letters: R and C, macroblock rows and columns.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean

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
def keep_past(field_x: np.ndarray, field_y: np.ndarray, source: np.ndarray) -> None:
    """Zero the vectors of cells that do not point into the past: those are compared in place."""
    rows, columns = source.shape
    for row in range(rows):
        for column in range(columns):
            if source[row, column] != _PAST:
                field_x[row, column] = 0
                field_y[row, column] = 0


def warm_up() -> None:
    """Compile (or load from the cache) what is called from outside compiled code."""
    fields = np.zeros(5, np.int32)
    fields.flags.writeable = False  # as arrays over FFmpeg's buffers are
    mean_qp(fields, 5, 26)
