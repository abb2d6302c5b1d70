"""YUV 4:2:0 planes to a smaller RGB picture, whole or in blocks, bit for bit the same either way.

In: flat planes with their line sizes. Out: uint8 RGB. Each output pixel is the area-weighted mean of the source it covers (so
nothing aliases): rows first, then columns, then the colour matrix; chroma at half the output's size. Weights are multiples of
1/256, so every weighted sum is a whole number below 2^24 and exact in float32; the matrix is evaluated in one fixed order.
The same planes therefore give the same bytes on every machine.

Shape letters: R and C, rows and columns of an output; B, blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.codec.compiled import compiled

_UNITY = 256
"""Sum of the weights of one output sample, along rows and along columns."""
_SCALE = float(_UNITY * _UNITY)
WRITTEN_OUT = 3
"""Taps that are weighted without a loop, which would cost more than a handful of taps; shorter filters are padded."""


class Taps(NamedTuple):
    """Which source samples make each output sample: `start` int32 [n], `weights` float32 [n, taps], each row adding to 256."""

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
    steps = np.rint(covered * (_UNITY * target / extent))
    steps[:, 0], steps[:, -1] = 0, _UNITY
    return Taps(start.astype(np.int32), np.diff(steps, axis=1).astype(np.float32))


def colour_matrix(kr: float, kb: float, *, full_range: bool) -> np.ndarray:
    """float32 [7]: luma gain, Cr->R, Cb->G, Cr->G, Cb->B, what is added to luma (rounding included), zero of chroma; for
    samples in units of 1/65536 (ITU-R BT.601 2.5, BT.709 item 3)."""
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    kg = 1 - kr - kb
    to_red, to_blue = 2 * (1 - kr) * chroma, 2 * (1 - kb) * chroma
    gains = np.array([luma, to_red, -to_blue * kb / kg, -to_red * kr / kg, to_blue]) / _SCALE
    black = 0 if full_range else 16
    return np.array([*gains, 0.5 - luma * black, 128 * _SCALE], np.float32)


@compiled
def _sum_rows(
    plane: np.ndarray, pitch: int, start: np.ndarray, weights: np.ndarray, at: int, left: int, line: np.ndarray
) -> None:
    """line = weighted sum of the rows that make output row `at`, columns from `left` on."""
    width = np.uintp(len(line))
    first = start[at]
    a = np.uintp(first * pitch + left)
    b, c = a + np.uintp(pitch), a + np.uintp(2 * pitch)
    w0, w1, w2 = weights[at, 0], weights[at, 1], weights[at, 2]
    for i in range(width):
        line[i] = w0 * np.float32(plane[a + i]) + w1 * np.float32(plane[b + i]) + w2 * np.float32(plane[c + i])
    for tap in range(WRITTEN_OUT, weights.shape[1]):
        weight = weights[at, tap]
        if weight != 0:
            a = np.uintp((first + tap) * pitch + left)
            for i in range(width):
                line[i] += weight * np.float32(plane[a + i])


@compiled
def _sum_columns(
    line: np.ndarray, left: int, start: np.ndarray, weights: np.ndarray, first: int, out: np.ndarray, out_at: int, count: int
) -> None:
    """`count` samples of out, from `out_at` on = weighted sums of `line` (which begins at column `left`) from output column
    `first` on."""
    num_taps = np.uintp(weights.shape[1])
    one, two = np.uintp(1), np.uintp(2)
    for column in range(np.uintp(count)):
        i = np.uintp(first) + column
        at = np.uintp(start[i] - left)
        total = weights[i, 0] * line[at] + weights[i, 1] * line[at + one] + weights[i, 2] * line[at + two]
        if num_taps > np.uintp(WRITTEN_OUT):
            for tap in range(np.uintp(WRITTEN_OUT), num_taps):
                total += weights[i, tap] * line[at + tap]
        out[np.uintp(out_at) + column] = total


@compiled
def _double(half: np.ndarray, out: np.ndarray, at: int, num_columns: int, end: int) -> None:
    """Write a row of chroma twice as wide at `at`, and again as the next row, where that ends by `end`."""
    one = np.uintp(1)
    for i in range(np.uintp(num_columns)):
        out[np.uintp(at) + i] = half[i >> one]
    if at + 2 * num_columns <= end:
        for i in range(np.uintp(num_columns)):
            out[np.uintp(at + num_columns) + i] = out[np.uintp(at) + i]


@compiled
def _byte(value: np.float32) -> np.uint8:
    """A level, rounding included, to a byte, clamped."""
    low, high = np.float32(0), np.float32(255)
    value = value if value > low else low
    value = value if value < high else high
    return np.uint8(np.int32(value))


@compiled
def _paint(y: np.ndarray, u: np.ndarray, v: np.ndarray, matrix: np.ndarray, rgb_3P: np.ndarray, out: np.ndarray) -> None:
    """Flat RGB bytes from flat samples; `rgb_3P` is room to work in, so that the first loop runs on vectors."""
    gain, red_cr, green_cb, green_cr = matrix[0], matrix[1], matrix[2], matrix[3]
    blue_cb, offset, grey = matrix[4], matrix[5], matrix[6]
    red, green, blue = rgb_3P[0], rgb_3P[1], rgb_3P[2]
    for i in range(np.uintp(len(y))):
        luma, cb, cr = gain * y[i] + offset, u[i] - grey, v[i] - grey
        red[i] = _byte(luma + red_cr * cr)
        green[i] = _byte(luma + (green_cb * cb + green_cr * cr))
        blue[i] = _byte(luma + blue_cb * cb)
    one, two, three = np.uintp(1), np.uintp(2), np.uintp(3)
    for i in range(np.uintp(len(y))):
        at = three * i
        out[at] = red[i]
        out[at + one] = green[i]
        out[at + two] = blue[i]


@compiled
def _span(start: np.ndarray, num_taps: int, first: int, count: int) -> tuple[int, int]:
    """First source column that output columns first..first+count-1 read, and how many they read."""
    left = int(start[first])
    return left, int(start[first + count - 1]) + num_taps - left


@compiled
def resample(
    luma: np.ndarray,
    cb: np.ndarray,
    cr: np.ndarray,
    pitches: tuple[int, int, int],
    row_start: np.ndarray,
    row_weights: np.ndarray,
    column_start: np.ndarray,
    column_weights: np.ndarray,
    chroma_row_start: np.ndarray,
    chroma_row_weights: np.ndarray,
    chroma_column_start: np.ndarray,
    chroma_column_weights: np.ndarray,
    matrix: np.ndarray,
    corners_B2: np.ndarray,
    out_BRC3: np.ndarray,
) -> None:
    """Fill each of `out_BRC3` with the output pixels from its (row, column) of `corners_B2` on, both even. Chroma is resampled to
    half the output's size, as it is held in the source."""
    num_blocks, num_rows, num_columns, _ = out_BRC3.shape
    num_pixels = num_rows * num_columns
    y, u, v = np.empty(num_pixels, np.float32), np.empty(num_pixels, np.float32), np.empty(num_pixels, np.float32)
    num_halves = (num_columns + 1) // 2
    halves = np.empty(num_halves, np.float32)
    rgb_3P = np.empty((3, num_pixels), np.uint8)
    for block in range(num_blocks):
        top, first = corners_B2[block, 0], corners_B2[block, 1]
        left, width = _span(column_start, column_weights.shape[1], first, num_columns)
        half_left, half_width = _span(chroma_column_start, chroma_column_weights.shape[1], first // 2, num_halves)
        line, half_line = np.empty(width, np.float32), np.empty(half_width, np.float32)
        for row in range(num_rows):
            at = row * num_columns
            _sum_rows(luma, pitches[0], row_start, row_weights, top + row, left, line)
            _sum_columns(line, left, column_start, column_weights, first, y, at, num_columns)
            if row % 2 == 0:
                half = (top + row) // 2
                _sum_rows(cb, pitches[1], chroma_row_start, chroma_row_weights, half, half_left, half_line)
                _sum_columns(
                    half_line, half_left, chroma_column_start, chroma_column_weights, first // 2, halves, 0, num_halves
                )
                _double(halves, u, at, num_columns, num_pixels)
                _sum_rows(cr, pitches[2], chroma_row_start, chroma_row_weights, half, half_left, half_line)
                _sum_columns(
                    half_line, half_left, chroma_column_start, chroma_column_weights, first // 2, halves, 0, num_halves
                )
                _double(halves, v, at, num_columns, num_pixels)
        _paint(y, u, v, matrix, rgb_3P, out_BRC3[block].reshape(-1))
