"""Planes of a YUV picture, and the taps by which patches are read from them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

PATCH_PX = 14


BLOCK_PATCHES = 4


PATCH_VALUES = 3 * PATCH_PX * PATCH_PX


Planes = tuple[Tensor, Tensor, Tensor]
"""Luma, blue and red difference: uint8 [H, W], samples of a row adjacent, rows at any stride."""


class PictureTaps(NamedTuple):
    """Which source samples make each output sample: starts int32 [n], weights int32 [n, taps] adding to 256; of rows and columns of luma,
    and of chroma, which goes to half the output's size. Every tap lies inside its plane."""

    row_start: Tensor
    row_weights: Tensor
    col_start: Tensor
    col_weights: Tensor
    half_row_start: Tensor
    half_row_weights: Tensor
    half_col_start: Tensor
    half_col_weights: Tensor
