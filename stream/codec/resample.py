"""YUV 4:2:0 planes to a smaller RGB picture, whole or in blocks, bit for bit the same either way.

In: flat planes with their line sizes. Out: uint8 RGB. Each output pixel is the area-weighted mean of the source it covers (so
nothing aliases): rows first, then columns, then the colour matrix; chroma at half the output's size. Weights are multiples of
1/256, so sums along rows are whole numbers that fit 16 bits, sums along both ways fit 24 and are exact in float32; the matrix
is evaluated in one fixed order. The same planes therefore give the same bytes on every machine.

Bounds: `area_taps` keeps every tap inside its line; callers keep blocks inside the output (`Picture` asserts it).
Shape letters: H and W, rows and columns of an output; N canvases; B blocks; T tiles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.codec.colour import UNIT, tint, to_rgb
from stream.codec.compiled import compiled, lean, prefetch

BLOCK_PX = 28
"""Side of a block (ov2.canvas)."""
_TILE_WORDS = 3 * BLOCK_PX // 4
"""Words of four bytes in one row of a block."""
_NARROW_PX = 3 * BLOCK_PX
"""Strips up to this width are fetched ahead; the processor sees by itself where longer rows go on."""
_LINE_BYTES = 64
"""Of a cache line."""
_VECTOR = 16
"""Samples that a vector holds while rows are summed."""
WRITTEN_OUT = 3
"""Taps that are weighted without a loop, which would cost more than a handful of taps; shorter filters are padded."""


class Taps(NamedTuple):
    """Which source samples make each output sample: `start` int32 [n], `weights` int32 [n, taps], each row adding to 256."""

    start: np.ndarray
    weights: np.ndarray


def area_taps(source: int, extent: float, target: int) -> Taps:
    """Taps that spread the first `extent` samples of a line of `source` (extent <= source) over `target` output samples."""
    assert source >= WRITTEN_OUT, f"line: expected at least {WRITTEN_OUT} samples, got {source}"
    edges = np.arange(target + 1) * (extent / target)
    first = np.floor(edges[:-1] + 1e-9).astype(np.int64)
    last = np.maximum(np.ceil(edges[1:] - 1e-9).astype(np.int64) - 1, first)
    num_taps = max(WRITTEN_OUT, int((last - first).max()) + 1)
    start = np.minimum(first, source - num_taps)
    cells = start[:, None] + np.arange(num_taps + 1)
    covered = np.clip(cells, edges[:-1, None], edges[1:, None]) - edges[:-1, None]
    steps = np.rint(covered * (UNIT * target / extent))
    steps[:, 0], steps[:, -1] = 0, UNIT
    return Taps(start.astype(np.int32), np.diff(steps, axis=1).astype(np.int32))


@lean
def _sum_rows(
    plane: np.ndarray,
    pitch: int,
    start: np.ndarray,
    weights: np.ndarray,
    top: int,
    num_rows: int,
    left: int,
    width: int,
    lines: np.ndarray,
) -> None:
    """Lines of `width` samples, one after another: weighted sums of the rows that make output rows `top` and following, from column
    `left` on; uint16 holds 256 * 255."""
    for row in range(num_rows):
        first, to = start[top + row], np.uintp(row * width)
        a = np.uintp(first * pitch + left)
        b, c = a + np.uintp(pitch), a + np.uintp(2 * pitch)
        w0, w1 = np.uint16(weights[top + row, 0]), np.uint16(weights[top + row, 1])
        w2 = np.uint16(weights[top + row, 2])
        for i in range(np.uintp(width)):
            above = np.uint16(np.uint16(w0 * np.uint16(plane[a + i])) + np.uint16(w1 * np.uint16(plane[b + i])))
            lines[to + i] = np.uint16(above + np.uint16(w2 * np.uint16(plane[c + i])))
        for tap in range(WRITTEN_OUT, weights.shape[1]):
            weight = np.uint16(weights[top + row, tap])
            if weight != 0:
                a = np.uintp((first + tap) * pitch + left)
                for i in range(np.uintp(width)):
                    lines[to + i] = np.uint16(lines[to + i] + np.uint16(weight * np.uint16(plane[a + i])))


@lean
def _sum_columns(
    lines: np.ndarray,
    width: int,
    num_rows: int,
    left: int,
    start: np.ndarray,
    weights: np.ndarray,
    first: int,
    num_columns: int,
    out: np.ndarray,
) -> None:
    """Rows of `num_columns` weighted sums, from output column `first` on, of lines of `width` samples that begin at column `left`."""
    num_taps, one, two = np.uintp(weights.shape[1]), np.uintp(1), np.uintp(2)
    for row in range(0, num_rows, 2):  # two at a time share starts and weights; an odd last one is made twice
        below = min(row + 1, num_rows - 1)
        line, line_below = np.uintp(row * width - left), np.uintp(below * width - left)
        to, to_below = np.uintp(row * num_columns), np.uintp(below * num_columns)
        for column in range(np.uintp(num_columns)):
            i = np.uintp(first) + column
            w0, w1, w2, at = weights[i, 0], weights[i, 1], weights[i, 2], np.uintp(start[i])
            a, b = line + at, line_below + at
            total = w0 * np.int32(lines[a]) + w1 * np.int32(lines[a + one]) + w2 * np.int32(lines[a + two])
            total_below = w0 * np.int32(lines[b]) + w1 * np.int32(lines[b + one]) + w2 * np.int32(lines[b + two])
            if num_taps > np.uintp(WRITTEN_OUT):
                for tap in range(np.uintp(WRITTEN_OUT), num_taps):
                    total += weights[i, tap] * np.int32(lines[a + tap])
                    total_below += weights[i, tap] * np.int32(lines[b + tap])
            out[to + column] = np.float32(total)
            out[to_below + column] = np.float32(total_below)


@lean
def _plane(
    plane: np.ndarray,
    pitch: int,
    row_start: np.ndarray,
    row_weights: np.ndarray,
    start: np.ndarray,
    weights: np.ndarray,
    top: int,
    num_rows: int,
    first: int,
    num_columns: int,
    lines: np.ndarray,
    out: np.ndarray,
) -> None:
    """Samples of one plane at output size, from (top, first) on, in units of 1/65536."""
    left = int(start[first])
    needed = int(start[first + num_columns - 1]) + weights.shape[1] - left
    width = min((needed + _VECTOR - 1) & -_VECTOR, pitch - left)  # whole vectors, where the row has them
    _sum_rows(plane, pitch, row_start, row_weights, top, num_rows, left, width, lines)
    _sum_columns(lines, width, num_rows, left, start, weights, first, num_columns, out)


@lean
def _fetch(
    plane: np.ndarray,
    pitch: int,
    row_start: np.ndarray,
    row_weights: np.ndarray,
    start: np.ndarray,
    weights: np.ndarray,
    top: int,
    num_rows: int,
    first: int,
    num_columns: int,
) -> None:
    """Have the samples brought near that `_plane` will read. A narrow strip lies in many short pieces, which the processor's own prefetching
    does not foresee, and the picture was decoded long ago; without this a block takes almost twice as long."""
    left, last = int(start[first]), int(start[first + num_columns - 1]) + weights.shape[1] - 1
    for row in range(row_start[top], row_start[top + num_rows - 1] + row_weights.shape[1]):
        for column in range(left, last, _LINE_BYTES):
            prefetch(plane, np.uintp(row * pitch + column))
        prefetch(plane, np.uintp(row * pitch + last))


@compiled
def _strips(
    planes: tuple[np.ndarray, np.ndarray, np.ndarray],
    pitches: tuple[int, int, int],
    starts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    weights: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    matrix: np.ndarray,
    strips_S4: np.ndarray,
    out: np.ndarray,
) -> None:
    """Output pixels of strips (top, rows, left, columns), tops and lefts even, as RGB bytes one strip after another. Chroma is
    resampled to half the output's size, as the source holds it. `starts` and `weights`: taps of rows and columns of luma, then of
    chroma."""
    most, widest = 0, 0
    for strip in range(len(strips_S4)):
        most = max(most, strips_S4[strip, 1] * strips_S4[strip, 3])
        widest = max(widest, strips_S4[strip, 1] * (int(starts[1][-1]) + weights[1].shape[1] + _VECTOR))
    lines, y = np.empty(widest, np.uint16), np.empty(most, np.float32)
    cb, cr = np.empty(most, np.float32), np.empty(most, np.float32)
    tints_3P, rgb_3P = np.empty((3, most), np.float32), np.empty((3, most), np.uint8)
    luma, blue, red = planes
    rows, columns, half_rows, half_columns = starts
    row_weights, column_weights, half_row_weights, half_column_weights = weights
    begin = 0
    for strip in range(-1, len(strips_S4)):
        if strip + 1 < len(strips_S4) and strips_S4[strip + 1, 3] <= _NARROW_PX:
            top, num_rows, left, num_columns = strips_S4[strip + 1]
            half, num_half, half_left, num_halves = top // 2, (num_rows + 1) // 2, left // 2, (num_columns + 1) // 2
            _fetch(luma, pitches[0], rows, row_weights, columns, column_weights, top, num_rows, left, num_columns)
            for plane, pitch in ((blue, pitches[1]), (red, pitches[2])):
                _fetch(
                    plane, pitch, half_rows, half_row_weights, half_columns, half_column_weights,
                    half, num_half, half_left, num_halves,
                )  # fmt: skip
        if strip < 0:
            continue
        top, num_rows, left, num_columns = strips_S4[strip]
        half, num_half, half_left, num_halves = top // 2, (num_rows + 1) // 2, left // 2, (num_columns + 1) // 2
        _plane(luma, pitches[0], rows, row_weights, columns, column_weights, top, num_rows, left, num_columns, lines, y)
        _plane(
            blue, pitches[1], half_rows, half_row_weights, half_columns, half_column_weights,
            half, num_half, half_left, num_halves, lines, cb,
        )  # fmt: skip
        _plane(
            red, pitches[2], half_rows, half_row_weights, half_columns, half_column_weights,
            half, num_half, half_left, num_halves, lines, cr,
        )  # fmt: skip
        tint(cb, cr, num_rows, num_columns, matrix, tints_3P)
        to_rgb(y, num_rows * num_columns, tints_3P, matrix, rgb_3P, out, begin)
        begin += 3 * num_rows * num_columns


@compiled
def resample(
    planes: tuple[np.ndarray, np.ndarray, np.ndarray],
    pitches: tuple[int, int, int],
    starts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    weights: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    matrix: np.ndarray,
    out_HW3: np.ndarray,
) -> None:
    """The whole picture."""
    height, width, _ = out_HW3.shape
    strips_S4 = np.empty(((height + BLOCK_PX - 1) // BLOCK_PX, 4), np.int64)
    for strip in range(len(strips_S4)):
        top = strip * BLOCK_PX
        strips_S4[strip, 0], strips_S4[strip, 1] = top, min(BLOCK_PX, height - top)
        strips_S4[strip, 2], strips_S4[strip, 3] = 0, width
    _strips(planes, pitches, starts, weights, matrix, strips_S4, out_HW3.reshape(-1))


@compiled
def resample_blocks(
    planes: tuple[np.ndarray, np.ndarray, np.ndarray],
    pitches: tuple[int, int, int],
    starts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    weights: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    matrix: np.ndarray,
    blocks_B2: np.ndarray,
    out_NHW3: np.ndarray,
    first_tile: int,
) -> bool:
    """Blocks (row, column) of the picture to tiles first_tile, first_tile + 1, ... of canvases. Blocks that lie side by side are
    one strip. False, and nothing is done, where a block lies outside the picture or a tile outside the canvases."""
    num_rows, num_columns = len(starts[0]) // BLOCK_PX, len(starts[1]) // BLOCK_PX
    num_tiles = out_NHW3.size // (3 * BLOCK_PX * BLOCK_PX)
    if first_tile < 0 or first_tile + len(blocks_B2) > num_tiles:
        return False
    num_blocks, num_strips = len(blocks_B2), 0
    strips_S4 = np.empty((num_blocks, 4), np.int64)
    for block in range(num_blocks):
        row, column = blocks_B2[block, 0], blocks_B2[block, 1]
        if not (0 <= row < num_rows and 0 <= column < num_columns):
            return False
        if block and blocks_B2[block - 1, 0] == row and blocks_B2[block - 1, 1] == column - 1:
            strips_S4[num_strips - 1, 3] += BLOCK_PX
        else:
            strips_S4[num_strips, 0], strips_S4[num_strips, 1] = row * BLOCK_PX, BLOCK_PX
            strips_S4[num_strips, 2], strips_S4[num_strips, 3] = column * BLOCK_PX, BLOCK_PX
            num_strips += 1
    made = np.empty(num_blocks * BLOCK_PX * BLOCK_PX * 3, np.uint8)
    _strips(planes, pitches, starts, weights, matrix, strips_S4[:num_strips], made)
    source, out = made.view(np.uint32), out_NHW3.reshape(-1).view(np.uint32)
    begin, tile = 0, first_tile
    for strip in range(num_strips):
        width = strips_S4[strip, 3]
        for block in range(width // BLOCK_PX):
            _copy_tile(source, begin + block * _TILE_WORDS, width, out, out_NHW3.shape, tile)
            tile += 1
        begin += width * _TILE_WORDS
    return True


@lean
def _copy_tile(
    source: np.ndarray, left: int, source_width: int, out: np.ndarray, shape: tuple[int, int, int, int], tile: int
) -> None:
    """28 rows of 28 RGB pixels as tile number `tile`, in reading order from canvas to canvas, of canvases of `shape` [N, H, W, 3].
    Both are flat, in words of four bytes, since all sides are multiples of 28; `left` is the first word of the source."""
    _, height, width, _ = shape
    across = width // BLOCK_PX
    canvas, place = divmod(tile, across * (height // BLOCK_PX))
    top, column = canvas * height + place // across * BLOCK_PX, place % across
    here, there = np.uintp((top * across + column) * _TILE_WORDS), np.uintp(left)
    pitch, source_pitch = np.uintp(across * _TILE_WORDS), np.uintp(source_width // BLOCK_PX * _TILE_WORDS)
    for _ in range(BLOCK_PX):
        for i in range(np.uintp(_TILE_WORDS)):
            out[here + i] = source[there + i]
        here += pitch
        there += source_pitch


@lean
def copy_blocks(picture_HW3: np.ndarray, blocks_B2: np.ndarray, out_NHW3: np.ndarray, first_tile: int) -> None:
    """The same from a picture that was resampled before."""
    source, out, width = picture_HW3.reshape(-1).view(np.uint32), out_NHW3.reshape(-1).view(np.uint32), picture_HW3.shape[1]
    for block in range(len(blocks_B2)):
        left = (blocks_B2[block, 0] * width + blocks_B2[block, 1]) * _TILE_WORDS
        _copy_tile(source, left, width, out, out_NHW3.shape, first_tile + block)
