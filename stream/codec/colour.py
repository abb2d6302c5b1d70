"""Luma and chroma to RGB bytes, in one fixed order of operations, so that the same samples give the same bytes on every machine.

In: float32 samples at output size (chroma: half of it), in units of 1/65536. Out: uint8 RGB.

Shape letters: P, pixels of a strip.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean

UNIT = 256
"""What the weights of a resampled sample add up to, along rows and along columns."""
_SCALE = float(UNIT * UNIT)


def colour_matrix(kr: float, kb: float, *, full_range: bool) -> np.ndarray:
    """float32 [7]: luma gain, Cr->R, Cb->G, Cr->G, Cb->B, what is added to luma (rounding included), zero of chroma; for
    samples in units of 1/65536 (ITU-R BT.601 2.5, BT.709 item 3)."""
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    kg = 1 - kr - kb
    to_red, to_blue = 2 * (1 - kr) * chroma, 2 * (1 - kb) * chroma
    gains = np.array([luma, to_red, -to_blue * kb / kg, -to_red * kr / kg, to_blue]) / _SCALE
    black = 0 if full_range else 16
    return np.array([*gains, 0.5 - luma * black, 128 * _SCALE], np.float32)


@lean
def _byte(value: np.float32) -> np.uint8:
    """A level, rounding included, to a byte, clamped."""
    low, high = np.float32(0), np.float32(255)
    value = value if value > low else low
    value = value if value < high else high
    return np.uint8(np.int32(value))


@lean
def tint(cb: np.ndarray, cr: np.ndarray, num_rows: int, num_columns: int, matrix: np.ndarray, tints_3P: np.ndarray) -> None:
    """What chroma adds to red, green and blue; one sample serves two rows and two columns, where those are there."""
    red_cr, green_cb, green_cr, blue_cb, grey = matrix[1], matrix[2], matrix[3], matrix[4], matrix[6]
    red, green, blue = tints_3P[0], tints_3P[1], tints_3P[2]
    one, width = np.uintp(1), np.uintp(num_columns)
    num_halves = (width + one) >> one
    for half in range((num_rows + 1) // 2):
        source, at = np.uintp(half) * num_halves, np.uintp(2 * half) * width
        for i in range(width >> one):
            u, v = cb[source + i] - grey, cr[source + i] - grey
            here = at + i + i
            red[here] = red[here + one] = red_cr * v
            green[here] = green[here + one] = green_cb * u + green_cr * v
            blue[here] = blue[here + one] = blue_cb * u
        if num_columns % 2:
            last, here = source + num_halves - one, at + width - one
            u, v = cb[last] - grey, cr[last] - grey
            red[here], green[here], blue[here] = red_cr * v, green_cb * u + green_cr * v, blue_cb * u
        if 2 * half + 1 < num_rows:
            for i in range(width):
                here, there = at + i, at + width + i
                red[there], green[there], blue[there] = red[here], green[here], blue[here]


@lean
def to_rgb(
    y: np.ndarray, num_pixels: int, tints_3P: np.ndarray, matrix: np.ndarray, rgb_3P: np.ndarray, out: np.ndarray, begin: int
) -> None:
    """RGB bytes to `out`, flat, from byte `begin` on. All rows are one line here, and the first loop writes planes (`rgb_3P` is room
    for them): so it runs on vectors however narrow the rows are."""
    tint_red, tint_green, tint_blue = tints_3P[0], tints_3P[1], tints_3P[2]
    red, green, blue = rgb_3P[0], rgb_3P[1], rgb_3P[2]
    gain, offset = matrix[0], matrix[5]
    for i in range(np.uintp(num_pixels)):
        luma = gain * y[i] + offset
        red[i] = _byte(luma + tint_red[i])
        green[i] = _byte(luma + tint_green[i])
        blue[i] = _byte(luma + tint_blue[i])
    one, two, three, first = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(begin)
    for i in range(np.uintp(num_pixels)):
        at = first + three * i
        out[at] = red[i]
        out[at + one] = green[i]
        out[at + two] = blue[i]
